"""Transactions in random order: whatever is committed could have run one after the other.

Each commit writes a value of its own. In the order of the commits' versions, every transaction must
have read just what was there before its own commit, and nobody may wait for ever.
"""

import itertools

import grpc
import pytest
from google.cloud.datastore_v1 import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adjourn_local.datastore import Concurrency
from tests.contract.datastore_world import running

NAMES = ["a", "b", "c"]
TRANSACTIONS = 4
_projects = itertools.count()

numbers = st.integers(0, TRANSACTIONS - 1)
names = st.sampled_from(NAMES)
steps = st.one_of(
    st.tuples(st.just("look"), numbers, st.lists(names, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("look"), numbers, st.lists(names, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("query"), numbers, st.integers(0, 12)),
    st.tuples(st.just("write"), names),
    st.tuples(st.just("commit"), numbers, names),
    st.tuples(st.just("commit"), numbers, names),
    st.tuples(st.just("roll back"), numbers),
)


@pytest.fixture(scope="module", params=Concurrency, ids=lambda mode: mode.value)
def world(request, loop, tmp_path_factory):
    path = tmp_path_factory.mktemp("datastore") / "state.db"
    with running(loop, path, concurrency=request.param) as running_world:
        yield running_world


@pytest.fixture(scope="module")
def channel(world):
    with grpc.insecure_channel(world.grpc_address) as open_channel:
        yield open_channel


@settings(
    max_examples=120,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(program=st.lists(steps, min_size=6, max_size=30))
def test_what_is_committed_could_have_run_one_after_the_other(world, channel, program):
    history = History(world, channel)
    for step in program:
        history.make(*step)
    history.end()

    state = {}
    for version, reads, name, value in sorted(history.committed):
        for read, answer in reads:
            assert answer == read(state), f"before version {version}"
        state[name] = value
    assert state == history.stored()


class History:
    """Makes calls, some of which must wait for others, and notes what is read and committed."""

    def __init__(self, world, channel):
        self._world = world
        self._channel = channel
        self._project = f"history-{next(_projects)}"
        self._values = itertools.count(1)
        self._open = {}
        self._waiting = []
        self.committed = []

    def make(self, what, *arguments):
        {
            "look": self._look,
            "query": self._query,
            "write": self._write,
            "commit": self._commit,
            "roll back": self._roll_back,
        }[what](*arguments)
        # Until the server has seen every call: what is not done then waits for somebody.
        while sum(not call.done() for call, _, _ in self._waiting) > self._sleepers():
            pass
        self._settle()

    def end(self):
        """End all transactions; then nobody has anybody to wait for."""
        for number in list(self._open):
            self.make("roll back", number)
        for call, _, _ in self._waiting:
            call.exception(timeout=20)
        self._settle()

    def stored(self):
        return self._found(self._call("Lookup", self._keys(NAMES)).result(timeout=20), NAMES)

    def _look(self, number, wanted):
        def read(state):
            return {name: state.get(name) for name in wanted}

        def answer(response):
            found = self._found(response, wanted)
            return {name: found.get(name) for name in wanted}

        self._read(number, "Lookup", self._keys(wanted), read, answer)

    def _query(self, number, bound):
        def read(state):
            return {name: value for name, value in state.items() if value > bound}

        def answer(response):
            return {
                result.entity.key.path[-1].name: result.entity.properties["n"].integer_value
                for result in response.batch.entity_results
            }

        condition = {"property": {"name": "n"}, "op": "GREATER_THAN"}
        condition["value"] = {"integer_value": bound}
        query = {"kind": [{"name": "Row"}], "filter": {"property_filter": condition}}
        self._read(number, "RunQuery", {"query": query}, read, answer)

    def _read(self, number, method, fields, read, answer):
        transaction, reads = self._transaction(number)
        call = self._call(method, {**fields, "read_options": {"transaction": transaction}})
        if call.exception(timeout=20):
            assert call.code() is grpc.StatusCode.ABORTED
            del self._open[number]
        else:
            reads.append((read, answer(call.result())))

    def _write(self, name):
        self._send(name, (), {"mode": "NON_TRANSACTIONAL"})

    def _commit(self, number, name):
        transaction, reads = self._transaction(number)
        del self._open[number]
        self._send(name, reads, {"mode": "TRANSACTIONAL", "transaction": transaction})

    def _send(self, name, reads, fields):
        value = next(self._values)
        entity = {"key": self._key(name), "properties": {"n": {"integer_value": value}}}
        call = self._call("Commit", {**fields, "mutations": [{"upsert": entity}]})
        self._waiting.append((call, tuple(reads), (name, value)))

    def _sleepers(self):
        return self._world.loop.call(lambda: len(self._world.clock._sleepers))

    def _settle(self):
        for call, reads, written in self._waiting:
            if call.done() and not call.exception():
                (result,) = call.result().mutation_results
                self.committed.append((result.version, reads, *written))
            elif call.done():
                assert call.code() is grpc.StatusCode.ABORTED
        self._waiting = [one for one in self._waiting if not one[0].done()]

    def _roll_back(self, number):
        transaction, _ = self._transaction(number)
        del self._open[number]
        self._call("Rollback", {"transaction": transaction}).result(timeout=20)

    def _transaction(self, number):
        if number not in self._open:
            begun = self._call("BeginTransaction", {}).result(timeout=20)
            self._open[number] = (begun.transaction, [])
        return self._open[number]

    def _call(self, method, fields):
        request = getattr(types, f"{method}Request")
        send = self._channel.unary_unary(
            f"/google.datastore.v1.Datastore/{method}",
            request_serializer=request.serialize,
            response_deserializer=getattr(types, f"{method}Response").deserialize,
        )
        return send.future(request(project_id=self._project, **fields))

    def _key(self, name):
        partition = {"project_id": self._project}
        return {"partition_id": partition, "path": [{"kind": "Row", "name": name}]}

    def _keys(self, wanted):
        return {"keys": [self._key(name) for name in wanted]}

    def _found(self, response, wanted):
        found = {
            result.entity.key.path[-1].name: result.entity.properties["n"].integer_value
            for result in response.found
        }
        return {name: found[name] for name in wanted if name in found}
