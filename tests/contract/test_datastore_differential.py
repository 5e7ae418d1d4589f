"""Random calls to our server and to Google's own emulator: every answer must be the same.

A fixed set of programs runs each time. For a long search of new ones say how many:
`ADJOURN_DIFFERENTIAL=20000 python -m pytest tests/contract/test_datastore_differential.py`.
What the emulator gets wrong is left out, or made comparable, where the helpers below say why.
"""

import itertools
import os

import pytest
from google.api_core import exceptions
from google.cloud.datastore_v1 import types
from hypothesis import HealthCheck, given, settings

from tests.contract.datastore_fields import PROJECT, repeats
from tests.contract.datastore_programs import Call, Conditional, Pages, Transaction, programs
from tests.contract.datastore_world import connect, running

_LONG = int(os.environ.get("ADJOURN_DIFFERENTIAL", "0"))
_REQUESTS = {
    "commit": types.CommitRequest,
    "lookup": types.LookupRequest,
    "run_query": types.RunQueryRequest,
    "run_aggregation_query": types.RunAggregationQueryRequest,
    "begin_transaction": types.BeginTransactionRequest,
    "rollback": types.RollbackRequest,
}
_projects = itertools.count()


@pytest.fixture(scope="module")
def addresses(loop, tmp_path_factory, google_address):
    with running(loop, tmp_path_factory.mktemp("datastore") / "state.db") as world:
        yield world.grpc_address, google_address


@settings(
    max_examples=_LONG or 80,
    derandomize=not _LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(program=programs())
def test_random_calls_are_answered_alike(addresses, program):
    project = f"random-{next(_projects)}"
    ours, google = (Server(connect(address, project)) for address in addresses)

    for step in program:
        answers = ours.run(step), google.run(step)
        if "UNKNOWN" in answers[1]:
            # Google's emulator has failed; what it has stored then is unknown too.
            return
        assert answers[0] == answers[1], step


class Server:
    """One of the two, called through Google's client; its answers become comparable."""

    def __init__(self, client):
        self._client = client

    def run(self, step):
        try:
            match step:
                case Call():
                    return shown(self._call(step.method, step.request), step.request)
                case Pages():
                    return self._pages(step)
                case Transaction():
                    return self._transaction(step)
                case Conditional():
                    return self._conditional(step)
        except exceptions.GoogleAPICallError as error:
            return error.grpc_status_code.name

    def _call(self, method, request, **fields):
        named = _with_project(request, self._client.project)
        message = _REQUESTS[method]({"project_id": self._client.project, **named, **fields})
        return getattr(self._client._datastore_api, method)(request=message)

    def _pages(self, step):
        """Read page by page, then again from each page's start up to its end cursor."""
        found, cursor = [], b""
        for size in (*step.sizes, 100):
            query = {**step.request["query"], "limit": size, "start_cursor": cursor}
            answer = self._call("run_query", {"query": query})
            found.append(shown(answer, {"query": query}))
            if not answer.batch.entity_results:
                # Here the emulator answers with no cursor; ours stays where it began.
                break
            end = answer.batch.end_cursor
            whole = {**step.request["query"], "start_cursor": cursor, "end_cursor": end}
            found.append(results(self._call("run_query", {"query": whole}), step.request))
            cursor = end
        return found

    def _transaction(self, step):
        begun = self._call("begin_transaction", {"transaction_options": step.options}).transaction
        found = []
        try:
            for read in step.reads:
                answer = self._call(read.method, read.request, read_options={"transaction": begun})
                found.append(shown(answer, read.request))
            if step.mutations is not None:
                request = {"mutations": list(step.mutations), "mode": "TRANSACTIONAL"}
                answer = self._call("commit", request, transaction=begun)
                return [*found, shown(answer, request)]
        except exceptions.GoogleAPICallError as error:
            found.append(error.grpc_status_code.name)
        # A lock that is left behind would block the emulator's other writes for a minute.
        try:
            self._call("rollback", {"transaction": begun})
        except exceptions.GoogleAPICallError as error:
            found.append(error.grpc_status_code.name)
        return found

    def _conditional(self, step):
        (operation,) = set(step.mutation) - {"property_mask", "property_transforms"}
        target = step.mutation[operation]
        key = target if operation == "delete" else target["key"]
        answer = self._call("lookup", {"keys": [key]})
        if not answer.found:
            # The emulator goes on with the versions of what is deleted; the service says nothing.
            return []
        (stored,) = answer.found
        if step.condition == "base_version":
            value = stored.version + step.offset
        else:
            value = types.EntityResult.pb(stored).update_time
            value.nanos += step.offset * 1000
        request = {
            "mode": "NON_TRANSACTIONAL",
            # Without FAIL the emulator writes in spite of the conflict.
            "mutations": [
                {
                    **step.mutation,
                    step.condition: value,
                    "conflict_resolution_strategy": "FAIL",
                }
            ],
        }
        return shown(self._call("commit", request), request)


def _with_project(fields, project):
    """Return fields of a message with the name of the project put in."""
    if isinstance(fields, dict):
        return {name: _with_project(value, project) for name, value in fields.items()}
    if isinstance(fields, list):
        return [_with_project(value, project) for value in fields]
    return project if fields == PROJECT else fields


def shown(answer, request):
    """Return what is compared of an answer: all but versions, times and the bytes of cursors."""
    if isinstance(answer, types.RunQueryResponse):
        batch = answer.batch
        found = results(answer, request)
        # That there "may be more" is right in either case; the emulator looks whether there are.
        met = len(found) == request["query"].get("limit")
        more = None if met else batch.more_results
        return batch.entity_result_type, more, batch.skipped_results, found
    if isinstance(answer, types.LookupResponse):
        return (
            sorted(entity(found) for found in answer.found),
            sorted(path(missing.entity.key) for missing in answer.missing),
        )
    if isinstance(answer, types.CommitResponse):
        return [
            (
                bool(result.key.path),
                result.conflict_detected,
                result.create_time == result.update_time,
                [repr(value) for value in result.transform_results],
            )
            for result in answer.mutation_results
        ]
    return [
        sorted((name, repr(value)) for name, value in one.aggregate_properties.items())
        for one in answer.batch.aggregation_results
    ]


def results(answer, request):
    found = [entity(result) for result in answer.batch.entity_results]
    return list({repr(one): one for one in found}.values()) if repeats(request["query"]) else found


def path(key):
    return key.partition_id.namespace_id, tuple((e.kind, e.id, e.name) for e in key.path)


def entity(found):
    properties = found.entity.properties
    return (
        path(found.entity.key),
        sorted((name, repr(value)) for name, value in properties.items()),
    )
