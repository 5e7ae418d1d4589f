"""End windows: enqueue the last call that was made in each."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from adjourn.debounce.window import Stamp, Window
from adjourn.debounce.window_records import Noted, WindowRecords
from adjourn.errors import DecodeError, UnknownTypeError
from adjourn.execution.call import CallExecutor
from adjourn.execution.current_task import Call
from adjourn.execution.delivery import Outcome
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.verbatim import VERBATIM
from adjourn.tasks.enqueue import Enqueuer

# An attempt that comes so little early need not come again.
_SLACK = dt.timedelta(milliseconds=50)


@dataclass(kw_only=True, eq=False, repr=False)
class Collector:
    """Receives the tasks that wait for the end of a window.

    The call that runs is a plain one from then on, with its own retries and dead letter. Its task
    is named after it, so that it is created once, however often the window's task is delivered.
    """

    enqueuer: Enqueuer

    @property
    def _records(self) -> WindowRecords:
        return WindowRecords(adapters=self.enqueuer.adapters)

    def receive(self, call: Call, executor: CallExecutor) -> Outcome | None:
        """Enqueue the last call of a window, or wait longer, since a further one has come.

        Returns:
            The outcome; None if the task was enqueued again.

        Raises:
            StoreError: Datastore could not be reached; nothing may be acknowledged.
            EnqueueError: A task could not be enqueued; nothing may be acknowledged.
        """
        try:
            return self._receive(call, executor)
        except DecodeError as error:
            error.__cause__ = None  # it may quote an argument, and this is logged
            return executor.give_up(call, error)

    def _receive(self, call: Call, executor: CallExecutor) -> Outcome | None:
        window, records = Window.of(call.envelope.window), self._records
        now = self.enqueuer.adapters.clock.now()
        state, noted = records.state(window.key), records.latest(window)
        last = max(noted.stamp, window.first) if noted else window.first
        end = window.end(last.at)
        if state.generation == window.generation and end - now > _SLACK:
            return executor.resume(call, end, counts=False)
        following = self._open_next(window, noted, now) if window.is_throttle and noted else ""
        if records.close(window, following):
            self._run_last(window, call, is_begun=state.begun >= window.generation)
        executor.drop(call)
        if call.envelope.resumed:
            executor.watch.end(call, Outcome.DONE)
        return Outcome.DONE

    def _open_next(self, window: Window, noted: Noted, now: dt.datetime) -> str:
        """Create the task of the window that follows a run, and return its full name."""
        # Its first call is the one that is enqueued now: it has none of its own.
        first = Stamp(now, "")
        following = window._replace(generation=window.generation + 1, first=first)
        envelope = Envelope.decode(noted.body, VERBATIM)
        waiting = envelope._replace(
            id=following.task_name,
            args=(),
            kwargs={},
            stowed=None,
            window=following.fields(),
        )
        return self.enqueuer.put(waiting, following.task_name, following.end(now)).name

    def _run_last(self, window: Window, call: Call, *, is_begun: bool) -> None:
        """Enqueue the last call of a closed window, unless it was taken before."""
        chosen = self._records.latest(window)
        is_own = chosen is None or chosen.stamp < window.first
        if is_own and window.first.call and not (window.is_throttle and is_begun):
            chosen = self._own(window, call)
        body = self._records.choose(window, chosen)
        if body:
            self._enqueue(Envelope.decode(body, VERBATIM))

    def _own(self, window: Window, call: Call) -> Noted:
        """Return the call that has opened a window.

        Raises:
            DecodeError: Its arguments were stored and cannot be read.
        """
        is_verbatim = isinstance(call.unreadable, UnknownTypeError)
        if call.unreadable and not is_verbatim:
            raise call.unreadable
        codec, envelope = self.enqueuer.codec, call.envelope
        if is_verbatim:  # arguments that were stored are not in it yet
            codec, envelope = VERBATIM, self.enqueuer.payloads.fetch(envelope, VERBATIM)
        opening = envelope._replace(
            id=window.first.call,
            window={},
            stowed=None,
            resumed=0,
            attempts=0,
            executions=0,
            eta=None,
            starts_at=None,
            hops_at=None,
        )
        body = self.enqueuer.payloads.body_for(opening, codec, None)
        return Noted(window.first, body)

    def _enqueue(self, envelope: Envelope) -> None:
        """Enqueue a call; its arguments stay as they are, whatever types are known here."""
        verbatim = replace(self.enqueuer, codec=VERBATIM)
        whole = verbatim.payloads.fetch(envelope, VERBATIM)
        verbatim.put(whole._replace(stowed=None), envelope.id)
