"""Register children before they are made, so that a batch never ends without them.

Children of a block are registered in shards of some thirty, which keeps the writes to one entity
rare; the shards of one request are registered in one more shard, which keeps the writes to the
batch rare. A child registers what it adds beside itself, in its own shard; only what is too much
for that gets shards of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from adjourn.batches.children import Child, Children
from adjourn.batches.ends import Ends
from adjourn.batches.place import Kind, Place, State
from adjourn.batches.records import KEPT, BatchRecord, batch_key
from adjourn.batches.shards import Shard, shard_key
from adjourn.batches.tree import added_in, found_in, is_own, shards_below
from adjourn.errors import BatchSealedError
from adjourn.names import digest_of
from adjourn.ports import Transaction

MOST = 1_000  # children that are registered together
_MOST_IN_SHARD = 32
_MOST_BESIDE = 200  # children in the shard of a child that adds more
_GUARD = dt.timedelta(seconds=10)


class Registered(NamedTuple):
    """Where a child is registered, and how it stood there when it was last looked up."""

    shard: str
    state: State


class Plan(NamedTuple):
    """Where new children are to be registered.

    Attributes:
        places: The shard of each.
        beside: Those that are added to the shard of the child that adds them.
        shards: New shards.
        queues: Short names of the queues of the calls beside.
        top: Name of the new shard in which the others are registered, or of the only one.
    """

    places: Mapping[bytes, str]
    beside: Sequence[Child] = ()
    shards: Sequence[Shard] = ()
    top: str = ""
    queues: Collection[str] = ()


class _Answer(Enum):
    WRITTEN = auto()
    STALE = auto()  # others have registered children meanwhile
    UNGUARDED = auto()  # sealing it would end it, and nobody would know if this process died


@dataclass(kw_only=True, eq=False, repr=False)
class Registration:
    """The children that one block, or one child, adds to a batch.

    Attributes:
        ends: Marks their ends.
        template: The record of the batch, if there is none yet.
        adder: Place of the child that adds; None for the block.
        known: The children that are registered.
        is_new: Whether this has created the batch.
    """

    ends: Ends
    template: BatchRecord
    adder: Place | None = None
    known: dict[bytes, Registered] = field(default_factory=dict)
    is_new: bool = False
    _seen: int = 0  # shards that the children of this scope were registered in
    _beside: int | None = None
    _is_guarded: bool = False

    @property
    def batch(self) -> str:
        """Id of the batch."""
        return self.template.id

    @property
    def scope(self) -> str:
        """Key of the child that adds, in hexadecimal; "" for the block."""
        return self.adder.child if self.adder else ""

    @property
    def _parent(self) -> str:
        return self.adder.shard if self.adder else ""

    def plan(
        self, children: Sequence[Child], latest: dt.datetime, queues: Collection[str] = ()
    ) -> Plan:
        """Decide where those of some children are registered that are not yet.

        Args:
            children: The children, up to `MOST`.
            latest: When the last of them starts.
            queues: Short names of the queues of the calls among them.

        Raises:
            StoreError: Datastore could not be reached.
        """
        if self.adder is not None and self._beside is None:
            self.load()
        new = [each for each in children if each.key not in self.known]
        if not new:
            return Plan({})
        if self._beside is not None and len(new) + self._beside <= _MOST_BESIDE:
            places = dict.fromkeys((each.key for each in new), self._parent)
            return Plan(places, beside=new, queues=queues)
        return self._in_shards(new, latest, queues)

    def _in_shards(
        self, new: Sequence[Child], latest: dt.datetime, queues: Collection[str]
    ) -> Plan:
        count = -(-len(new) // _MOST_IN_SHARD)
        whole = digest_of(self.batch, self.scope, *(each.key.hex() for each in new))
        # Neighbours run at the same time, so they are spread.
        parts = {digest_of(whole, str(n)): new[n::count] for n in range(count)}
        parent = whole if count > 1 else self._parent
        shards = [self._shard(name, part, parent, latest) for name, part in parts.items()]
        shards = [each._replace(queues=_joined(queues)) for each in shards]
        if count > 1:
            inner = [Child(shard.key, Kind.SHARD) for shard in shards]
            shards.append(self._shard(whole, inner, self._parent, latest))
        places = {each.key: name for name, part in parts.items() for each in part}
        return Plan(places, shards=shards, top=shards[-1].name)

    def _shard(
        self, name: str, children: Sequence[Child], parent: str, latest: dt.datetime
    ) -> Shard:
        return Shard(
            name=name,
            batch=self.batch,
            parent=parent,
            scope=self.scope,
            children=Children().with_added(children),
            expires_at=latest + KEPT,
        )

    def write(self, plan: Plan, *, is_seal: bool = False, outer: str = "") -> bool:
        """Register children as planned; False if others came first: then it is to be planned anew.

        Args:
            plan: The plan.
            is_seal: Whether to seal the batch with it.
            outer: Place of the batch in an outer one, if it is sealed.

        Raises:
            BatchSealedError: The batch is sealed, or the child that adds has ended.
            StoreError: Datastore could not be reached.
            EnqueueError: A sealed batch has ended, and the call of its end was not accepted.
        """
        if self.adder is not None:
            answer = self.ends.adapters.store.transact(partial(self._put_beside, plan))
        else:
            answer = self._put_in_batch(plan, is_seal=is_seal, outer=outer)
        if answer is _Answer.STALE:
            self.load()
            return False
        self._seen += bool(plan.top)
        if self._beside is not None:
            self._beside += len(plan.beside)
        self.known |= {k: Registered(shard, State.OPEN) for k, shard in plan.places.items()}
        return True

    def _put_in_batch(self, plan: Plan, *, is_seal: bool, outer: str) -> _Answer:
        store = self.ends.adapters.store
        put = partial(self._put, plan, is_seal=is_seal, outer=outer)
        answer, record = store.transact(put)
        if answer is _Answer.UNGUARDED:
            self.ends.call_guard(record, "sealed", _GUARD)
            self._is_guarded = True
            answer, record = store.transact(put)
        if answer is _Answer.WRITTEN and is_seal:
            self.ends.finish(record)
        return answer

    def _put(
        self, plan: Plan, transaction: Transaction, *, is_seal: bool, outer: str
    ) -> tuple[_Answer, BatchRecord]:
        found = BatchRecord.of(self.batch, transaction.get([batch_key(self.batch)])[0])
        record = found or self.template
        if record.children.size != self._seen:
            return _Answer.STALE, record
        if plan.places and record.is_sealed:
            raise BatchSealedError(
                f"The batch {record.name or record.id} is sealed: its block has ended, and only its"
                " own children can still add some (adjourn.current_batch())."
            )
        self.is_new = self.is_new or found is None
        after = self._with_shards(record, plan)
        if is_seal and (not record.is_sealed or record.parent != outer):
            now = self.ends.adapters.clock.now()
            after = after.sealed(now, outer).settled(now)
            if after.ended_at is not None and not self._is_guarded:
                return _Answer.UNGUARDED, record
        for shard in plan.shards:
            shard.put(transaction)
        if after != found:
            after.put(transaction)
        return _Answer.WRITTEN, after

    def _with_shards(self, record: BatchRecord, plan: Plan) -> BatchRecord:
        if not plan.top:
            return record
        children = record.children.with_added([Child(bytes.fromhex(plan.top), Kind.SHARD)])
        latest = max([record.expires_at, *(shard.expires_at for shard in plan.shards)])
        return record._replace(children=children, expires_at=latest)

    def _put_beside(self, plan: Plan, transaction: Transaction) -> _Answer:
        assert self.adder is not None  # noqa: S101 - else there is no shard beside it
        shard = Shard.of(self._parent, transaction.get([shard_key(self._parent)])[0])
        if shard is None or shard.children.state_of(self.adder.key) is not State.OPEN:
            raise BatchSealedError("The call that adds has ended by another delivery.")
        is_stale = shard.children.kinds.count(Kind.GROWN) != self._seen
        if is_stale or shard.children.size + len(plan.beside) > 2 * _MOST_BESIDE:
            return _Answer.STALE
        grown = [Child(bytes.fromhex(plan.top), Kind.GROWN)] if plan.top else []
        children = shard.children.with_added([*plan.beside, *grown])
        latest = max([shard.expires_at, *(each.expires_at for each in plan.shards)])
        for each in plan.shards:
            each.put(transaction)
        if children != shard.children:
            queues = _joined({*shard.queues.split(), *plan.queues})
            shard = shard._replace(children=children, expires_at=latest, queues=queues)
            shard.put(transaction)
        return _Answer.WRITTEN

    def load(self) -> None:
        """Find out what is registered.

        Raises:
            StoreError: Datastore could not be reached.
        """
        store = self.ends.adapters.store
        if self.adder is None:
            record = BatchRecord.of(self.batch, store.get([batch_key(self.batch)])[0])
            children = record.children if record else Children()
            self._seen, own = children.size, shards_below(store, children, is_own)
        else:
            shard = Shard.of(self._parent, store.get([shard_key(self._parent)])[0])
            children = shard.children if shard else Children()
            self._seen, self._beside = children.kinds.count(Kind.GROWN), children.size
            own = added_in(store, shard, self.scope) if shard else iter(())
        self.known = {
            found.child.key: Registered(found.place.shard, found.child.state)
            for each in own
            for found in found_in(each)
        }


def _joined(queues: Collection[str]) -> str:
    return " ".join(sorted(queues))
