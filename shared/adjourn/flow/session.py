"""One transaction on the records of a call's flows: what is read, decided and written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence

from adjourn.flow.pages import page_key, page_record, read_page
from adjourn.flow.permits import FlowState, Permit
from adjourn.flow.rates import Limit
from adjourn.flow.records import LONGEST_WAIT, UNINDEXED, read_record, record_key
from adjourn.flow.visits import Entrance, Entry, Place, Visit
from adjourn.names import CallIdentity
from adjourn.ports import Transaction
from adjourn.state.call_records import CallRecord, own_records, put_record

# In one transaction. The others are called, and dropped when they arrive.
_MOST_EXPIRED = 100


class Session:
    """What one transaction reads, decides and writes.

    Args:
        transaction: The transaction.
        places: Where the calls run or wait.
        calls: The calls whose records will be needed.
        now: The present.
        is_expired: Whether a record's waiting call has expired; writes its result, if it keeps one.

    Attributes:
        called: The calls whose tasks are to be created after the commit, with their records.
        turns: The times for which they are called, if not for now.
        guards: The places, by index, to which a guard is to be called after the commit.
    """

    def __init__(
        self,
        transaction: Transaction,
        places: Sequence[Place],
        calls: Sequence[CallIdentity],
        now: dt.datetime,
        is_expired: Callable[[CallRecord, Transaction], bool],
    ) -> None:
        self.called: dict[CallIdentity, CallRecord] = {}
        self.turns: dict[CallIdentity, dt.datetime] = {}
        self.guards: set[int] = set()
        self._transaction = transaction
        self._now = now
        self._is_expired = is_expired
        own = [record_key(each.name, each.key) for each in places]
        whole = [record_key(each.name, None) for each in places]
        known, found = own_records(transaction, calls, [*own, *whole])
        self._calls = dict(known)
        self._before = tuple(
            read_record(each.name, each.key, record)
            for each, record in zip(places, found, strict=False)
        )
        self._limits = [
            mine.limit(each.flow, read_record(each.name, None, record))
            for each, mine, record in zip(places, self._before, found[len(own) :], strict=True)
        ]
        self.records = list(self._before)
        self._read: set[tuple[int, int]] = set()
        self._expired = 0
        for number, record in enumerate(self.records):
            self._change(number, record.state.swept(now))

    def enter(self, visit: Visit) -> Entrance:
        """Let a call run if all of its flows do; else let it wait for the first that does not."""
        call, record = visit.call, self._call(visit.call)
        if record is not None and (not record.is_open or record.resumed > visit.resumed):
            if not record.is_open:
                for number, each in enumerate(self.records):
                    self._change(number, each.state.left(call, ""))
            # If it waits, its former task may have come here because its answer was lost.
            self.guards |= {n for n, each in enumerate(self.records) if each.state.guard_at}
            return Entrance(Entry.OVER, self._now, self._now)
        permits = [each.state.permit_of(call) for each in self.records]
        if any(each and each.holder not in {"", visit.holder} for each in permits):
            return Entrance(Entry.BUSY, self._now, self._now)
        has_waited = record is not None and bool(record.parked)
        is_first = has_waited or any(permits)
        starts = [
            each.state.start(
                call,
                limit,
                self._now,
                has_waited=is_first,
                patience=visit.patience,
                delay=visit.delay,
            )
            for each, limit in zip(self.records, self._limits, strict=True)
        ]
        if None in starts:
            self._park(starts.index(None), visit, record or CallRecord(), in_front=is_first)
            return Entrance(Entry.WAITS, self._now, self._now)
        entry = Entry.RUNS_AFTER_WAIT if has_waited else Entry.RUNS
        return self._begin(visit, entry, max(start for start in starts if start))

    def _begin(self, visit: Visit, entry: Entry, at: dt.datetime) -> Entrance:
        permit = Permit(visit.call, at + visit.lease, visit.holder)
        for number, limit in enumerate(self._limits):
            state = self.records[number].state.took(visit.call, limit, at)
            is_held = limit.concurrency is not None
            self._change(number, state.entered(permit) if is_held else state)
        slack = min((each.slack for each in self._limits if each.interval), default=None)
        is_held = any(limit.concurrency is not None for limit in self._limits)
        return Entrance(entry, self._now, at, None if slack is None else at + slack, is_held)

    def _park(self, number: int, visit: Visit, record: CallRecord, *, in_front: bool) -> None:
        for each, found in enumerate(self.records):
            self._change(each, found.state.left(visit.call))
        state = self.records[number].state.parked(visit.call, in_front=in_front)
        self._change(number, state)
        self.records[number] = self.records[number]._replace(queue=visit.queue)
        self._put_call(visit.call, visit.parked(record))

    def leave(self, call: CallIdentity, holder: str, *, has_waited: bool, is_over: bool) -> bool:
        """Take back the permits of a call; return False if it has outlived one.

        Args:
            call: The call.
            holder: Id of the delivery that ran it.
            has_waited: Whether it has a record because it had to wait.
            is_over: Whether the call has ended.
        """
        states = [each.state for each in self.records]
        held = [
            each.permit_of(call)
            for each, limit in zip(states, self._limits, strict=True)
            if limit.concurrency is not None
        ]
        for number, state in enumerate(states):
            self._change(number, state.left(call, holder))
        is_held = all(each is not None and each.holder == holder for each in held)
        record = self._call(call) if has_waited and is_held else None
        if record is not None and record.is_open and record.parked:
            ended = record.ended() if is_over else record._replace(parked=b"")
            self._put_call(call, ended)
        return is_held

    def look_after(self, arrived: Collection[CallIdentity], guard_at: dt.datetime | None) -> None:
        """Take back the permits of those who were called and did not arrive in time.

        Args:
            arrived: Those of them that are known to have a task, or to need none.
            guard_at: The time for which this guard was called.
        """
        for number, record in enumerate(self.records):
            state = record.state.swept(self._now, arrived)
            is_own = state.guard_at == guard_at
            self._change(number, state._replace(guard_at=None) if is_own else state)

    def finish(self) -> None:
        """Give free permits to those who wait, and write what has changed."""
        for number, limit in enumerate(self._limits):
            self._fill(number, limit)
            state = self.records[number].state
            guarded = state.guarded(limit, self._now)
            if guarded.guard_at != state.guard_at:
                self.guards.add(number)
                self._change(number, guarded)
            self._write(number, limit)

    def _fill(self, number: int, limit: Limit) -> None:
        while True:
            before = self.records[number].state
            self._read_calls(before.granted(limit, self._now, lambda _: True)[1])
            state, called = before.granted(limit, self._now, self._still_waits)
            self._change(number, state)
            self.called |= {each: record for each in called if (record := self._call(each))}
            self.turns |= {each: turn for each in called if (turn := _turn(state, each))}
            page = state.unread(limit, self._now)
            if page is None:
                return
            self._read_page(number, page)

    def _still_waits(self, call: CallIdentity) -> bool:
        record = self._call(call)
        if record is None or not record.is_open or not record.parked:
            return False
        if self._expired < _MOST_EXPIRED and self._is_expired(record, self._transaction):
            self._expired += 1
            self._put_call(call, record.ended())
            return False
        return True

    def _write(self, number: int, limit: Limit) -> None:
        record, before = self.records[number], self._before[number]
        expires_at = self._now + LONGEST_WAIT
        for page, calls in record.state.pages.items():
            key = page_key(record.name, page)
            if not calls:
                self._transaction.delete(key)
            elif (number, page) not in self._read:
                self._transaction.put(key, page_record(calls, expires_at), unindexed=("waiting",))
        if _stored(record.state) != _stored(before.state):
            self._transaction.put(
                record_key(record.flow, record.key),
                record._replace(limits=_text(limit)).record(self._now),
                unindexed=UNINDEXED,
            )

    def _read_page(self, number: int, page: int) -> None:
        record = self.records[number]
        calls = read_page(self._transaction.get([page_key(record.name, page)])[0])
        self._read.add((number, page))
        pages = {**record.state.pages, page: calls}
        self._change(number, record.state._replace(pages=pages))

    def _change(self, number: int, state: FlowState) -> None:
        self.records[number] = self.records[number]._replace(state=state)

    def _call(self, call: CallIdentity) -> CallRecord | None:
        self._read_calls([call])
        return self._calls[call][1]

    def _read_calls(self, calls: Sequence[CallIdentity]) -> None:
        if unread := [each for each in calls if each not in self._calls]:
            self._calls |= own_records(self._transaction, unread)[0]

    def _put_call(self, call: CallIdentity, record: CallRecord) -> None:
        self._call(call)
        key = self._calls[call][0]
        self._calls[call] = (key, record)
        start = self._now + (LONGEST_WAIT if record.parked else dt.timedelta())
        put_record(self._transaction, key, call, record, start)


def _stored(state: FlowState) -> FlowState:
    return state._replace(pages={})


def _turn(state: FlowState, call: CallIdentity) -> dt.datetime | None:
    permit = state.permit_of(call)
    return permit and permit.slot


def _text(limit: Limit) -> str:
    """Return limits for those who look at them."""
    parts = [] if limit.concurrency is None else [f"concurrency={limit.concurrency}"]
    if limit.interval is not None:
        per_second = dt.timedelta(seconds=1) / limit.interval
        parts.append(f"rate={per_second:.4g}/s burst={limit.burst}")
    return " ".join(parts)
