"""Permits: the pure decisions about who may run and who waits, for one key of one flow.

Nothing here reads a clock or a store. A call is in one of these states, for each of its flows:

    absent ──enter──▶ running ──leave──▶ absent
      │                  │ (its lease ends: the holder has died)
      │                  └──────sweep──▶ absent
      └──park──▶ waiting ──grant──▶ called ──enter──▶ running
                    ▲                  │ (did not arrive in time, but has a task)
                    └──────park────────┴──sweep──▶ absent, and it enters or parks when it arrives

* A *permit* is a lease. A running call holds it under the id of one delivery (`holder`), which is
  the fencing token: only that delivery gives it back, and what has outlived its lease finds that
  its permit is gone. The lease is longer than an attempt may take.
* A *called* call was at the head of the line when a permit became free. It holds the permit until
  its task arrives. Only the guard sweeps such a permit, after it made sure that the task exists: so
  a process that dies between the commit and the creation of the task loses no call.
* Permits that are held, running and called, are never more than the limit allows. So whatever is
  lost or delivered twice can make a key slower, never faster.
* Nobody overtakes: a call enters only if nobody waits. One that has waited before, and was called
  in vain or has to wait for another flow now, stands in front, behind others like it.
* A flow with a rate has a token bucket, kept as the time at which it is full again (`free_at`, the
  generic cell rate algorithm). A call takes a token when it enters, and begins between the time of
  the token and `slack` after it, or needs another one. The bucket is smaller by what may begin so
  late, so that in no window of any length W begin more than burst + rate * W calls.
* Calls that wait for a rate are called ahead, each for its *turn*: when there would be a token for
  it if all came in time (`planned_at` is kept like `free_at`). They hold none: one that arrives
  takes the next token, and stays for it in its process if that is soon. So if all come as late, all
  begin as late, and the rate is reached.
* The line is kept in pages, so that a record stays small however many wait: its first and its last
  part are in the record. A last part that is full becomes a page with a record of its own, which is
  read when the first part is empty.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from adjourn.flow.rates import Limit
from adjourn.names import CallIdentity

PAGE = 100
# How long a call that was called may take to arrive.
ARRIVAL = dt.timedelta(minutes=2)
# At least so often a guard looks after a line, while somebody waits in it.
ROUND = dt.timedelta(minutes=2)
_MARGIN = dt.timedelta(seconds=1)
# A guard that is so late is taken for lost.
_LATE = dt.timedelta(minutes=1)
_NOTHING = dt.timedelta()
_UNLIMITED = 1_000_000

Page = tuple[CallIdentity, ...]


class Permit(NamedTuple):
    """A call's right to run.

    Attributes:
        call: The call.
        until: When it ends by itself.
        holder: Id of the delivery that runs the call; empty until its task has arrived.
        slot: Its turn, if it was called for a rate and has not arrived.
    """

    call: CallIdentity
    until: dt.datetime
    holder: str = ""
    slot: dt.datetime | None = None


class FlowState(NamedTuple):
    """Who runs and who waits.

    Attributes:
        permits: The permits that are held.
        waiting: The first part of the line.
        last: The last part of the line, behind all pages.
        length: How many wait, in all parts and pages.
        first_page: Number of the first page behind `waiting`.
        next_page: Number of the page that would be added next.
        pages: The pages that were read or added; an empty one is to be removed.
        guard_at: When the guard comes; None if none was called.
        free_at: When the token bucket is full again; None if it is.
        planned_at: When it would be if all had come at their turns; None if nobody has one.
        front: How many stand in front because they were called in vain.
    """

    permits: tuple[Permit, ...] = ()
    waiting: Page = ()
    last: Page = ()
    length: int = 0
    first_page: int = 0
    next_page: int = 0
    pages: Mapping[int, Page] = MappingProxyType({})
    guard_at: dt.datetime | None = None
    free_at: dt.datetime | None = None
    planned_at: dt.datetime | None = None
    front: int = 0

    def permit_of(self, call: CallIdentity) -> Permit | None:
        """Return the permit of a call."""
        return next((each for each in self.permits if each.call == call), None)

    def room(self, limit: Limit) -> int:
        """Return how many more may begin."""
        most = _UNLIMITED if limit.concurrency is None else limit.concurrency
        return 0 if limit.is_paused else max(0, most - len(self.permits))

    def token(self, limit: Limit, earliest: dt.datetime) -> dt.datetime:
        """Return the time of the next token."""
        return limit.next(self.free_at, earliest)

    def turn(self, limit: Limit, now: dt.datetime) -> dt.datetime:
        """Return the turn of the first who waits."""
        return limit.next(self.planned_at or self.free_at, now)

    def took(self, call: CallIdentity, limit: Limit, at: dt.datetime) -> FlowState:
        """Return the state when a call has taken the token of a time, and holds no permit."""
        permit, state = self.permit_of(call), self.left(call)
        if limit.interval is None:
            return state
        if state.planned_at and not (permit and permit.slot):
            state = state._replace(planned_at=limit.full(state.planned_at, at))
        return state._replace(free_at=limit.full(state.free_at, at))

    def is_open_to(self, call: CallIdentity, limit: Limit, *, has_waited: bool) -> bool:
        """Whether a call may run, as far as those who run and those who wait are concerned."""
        if self.permit_of(call):
            return self.left(call).room(limit) > 0
        return self.room(limit) > 0 and (has_waited or not self.length)

    def start(
        self,
        call: CallIdentity,
        limit: Limit,
        now: dt.datetime,
        *,
        has_waited: bool,
        patience: dt.timedelta = _NOTHING,
        delay: dt.timedelta = _NOTHING,
    ) -> dt.datetime | None:
        """Return when a call may begin; None if it has to wait in the line.

        Args:
            call: The call.
            limit: What is allowed.
            now: The present.
            has_waited: Whether it has waited before.
            patience: How long one that has waited may stay for a token.
            delay: How long it may take until the call can begin.
        """
        if not self.is_open_to(call, limit, has_waited=has_waited):
            return None
        if limit.interval is None:
            return now
        at = self.token(limit, now + max(_NOTHING, delay - limit.slack))
        if not has_waited:
            at = self.turn(limit, at)
        return at if at <= now + max(delay, patience if has_waited else _NOTHING) else None

    def entered(self, permit: Permit) -> FlowState:
        """Return the state when a call runs."""
        return self._replace(permits=(*self.left(permit.call).permits, permit))

    def left(self, call: CallIdentity, holder: str | None = None) -> FlowState:
        """Return the state when a call has given its permit back.

        Args:
            call: The call.
            holder: Only if this delivery holds it; None for whoever does.
        """
        kept = tuple(
            each
            for each in self.permits
            if each.call != call or (holder is not None and each.holder != holder)
        )
        return self._replace(permits=kept)

    def parked(self, call: CallIdentity, *, in_front: bool) -> FlowState:
        """Return the state when a call waits, at the end of the line or in front of it."""
        state = self._replace(length=self.length + 1)
        if in_front:
            called, others = self.waiting[: self.front], self.waiting[self.front :]
            return state._replace(waiting=(*called, call, *others), front=self.front + 1)
        is_short = self.first_page == self.next_page and not self.last
        if is_short and len(self.waiting) < PAGE:
            return state._replace(waiting=(*self.waiting, call))
        last = (*self.last, call)
        if len(last) < PAGE:
            return state._replace(last=last)
        pages = {**self.pages, self.next_page: last}
        return state._replace(last=(), pages=pages, next_page=self.next_page + 1)

    def swept(self, now: dt.datetime, arrived: Collection[CallIdentity] = ()) -> FlowState:
        """Return the state without the permits whose holders have died.

        Args:
            now: The present.
            arrived: Calls that were called, did not arrive in time, and are known to have a task,
                or to need none.
        """
        kept = tuple(
            each
            for each in self.permits
            if each.until > now or not (each.holder or each.call in arrived)
        )
        return self._replace(permits=kept)

    def overdue(self, now: dt.datetime) -> Sequence[CallIdentity]:
        """Return the calls that were called and did not arrive in time."""
        return [each.call for each in self.permits if not each.holder and each.until <= now]

    def granted(
        self, limit: Limit, now: dt.datetime, is_open: Callable[[CallIdentity], bool]
    ) -> tuple[FlowState, Sequence[CallIdentity]]:
        """Return the state when all free permits went to those who wait, and to whom.

        Args:
            limit: What is allowed.
            now: The present.
            is_open: Whether a call still waits; one that was cancelled is left out.
        """
        state, called = self, []
        while state._has_turn(limit, now) and (state := state._with_head()).waiting:
            call, waiting = state.waiting[0], state.waiting[1:]
            front, length = max(0, state.front - 1), state.length - 1
            state = state._replace(waiting=waiting, length=length, front=front)
            if is_open(call):
                called.append(call)
                state = state.with_called(call, limit, now)
        is_empty = not (state.waiting or state.last) and state.first_page == state.next_page
        if is_empty:
            state = state._replace(length=0)
            if not any(each.slot for each in state.permits):
                state = state._replace(planned_at=None)
        return state, called

    def with_called(self, call: CallIdentity, limit: Limit, now: dt.datetime) -> FlowState:
        """Return the state when a call has been called, for its turn if there is a rate."""
        if limit.interval is None:
            return self.entered(Permit(call, now + ARRIVAL))
        turn = self.turn(limit, now)
        planned_at = limit.full(self.planned_at or self.free_at, turn)
        permit = Permit(call, turn + ARRIVAL, slot=turn)
        return self.entered(permit)._replace(planned_at=planned_at)

    def unread(self, limit: Limit, now: dt.datetime) -> int | None:
        """Return the number of the page to be read, as permits are free for the calls on it."""
        is_behind = not self.waiting and self.first_page < self.next_page
        return self.first_page if is_behind and self._has_turn(limit, now) else None

    def _has_turn(self, limit: Limit, now: dt.datetime) -> bool:
        return self.room(limit) > 0 and self.turn(limit, now) <= now + limit.ahead

    def _with_head(self) -> FlowState:
        """Return the state with the next part of the line in front, if nothing is there."""
        number = self.first_page
        if self.waiting:
            return self
        if number == self.next_page:
            return self._replace(waiting=self.last, last=())
        if number not in self.pages:
            return self
        return self._replace(
            waiting=self.pages[number],
            pages={**self.pages, number: ()},
            first_page=number + 1,
        )

    def guarded(self, limit: Limit, now: dt.datetime) -> FlowState:
        """Return the state with a time at which a guard has to come, if one is needed.

        None is needed where nobody waits and nobody was called. Where somebody waits and nobody has
        a permit, as in a pause, whoever changes that looks after the line.
        """
        next_turns = self._next_turns(limit, now)
        has_guard = self.guard_at is not None and self.guard_at + _LATE > now
        if (
            self.guard_at
            and has_guard
            and not (next_turns and next_turns + _MARGIN < self.guard_at)
        ):
            return self
        times = [] if next_turns is None else [next_turns]
        if self.permits and (self.length or any(not each.holder for each in self.permits)):
            first = min(each.until for each in self.permits)
            times.append(max(now, min(first, now + ROUND)) + _MARGIN)
        return self._replace(guard_at=min(times)) if times else self

    def _next_turns(self, limit: Limit, now: dt.datetime) -> dt.datetime | None:
        """Return when those who wait for a rate alone are to be called, soon enough to be late."""
        if not self.length or limit.interval is None or not self.room(limit):
            return None
        return max(now, self.turn(limit, now) - limit.ahead / 2)
