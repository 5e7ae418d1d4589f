"""Put, find and control the schedules of a deployment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from adjourn.cron.due import PeriodicState
from adjourn.cron.periodic import checked_cron_name
from adjourn.errors import AdjournError, DeclarationError, UnknownNameError
from adjourn.names import plain_text
from adjourn.ports import EntityStore, Transaction
from adjourn.registry import is_stored
from adjourn.schedules.schedule import Schedule
from adjourn.schedules.schedule_timing import ScheduleTiming
from adjourn.schedules.scheduled_calls import ScheduledCalls
from adjourn.schedules.stored_schedule import KIND, StoredSchedule, key_of, write_back
from adjourn.tasks.task import Task

CRON_NAME = "schedules"


class Schedules:
    """The schedules of an application: `App.schedules`.

    Every method but `serve` raises StoreError if Datastore could not be reached. None of them takes
    part in a transaction of the application.
    """

    def __init__(self, cron_names: list[str], calls: Callable[[], ScheduledCalls]) -> None:
        self._cron_names = cron_names
        self._calls = calls

    def serve(self, cron_name: str = CRON_NAME) -> None:
        """Let the cron function enqueue what is due when the job of a cron name calls it.

        Call it where the application is made, as tasks are declared. The job decides how finely
        times are told: it should call every minute.

        Args:
            cron_name: The cron name. The first one that is served is that of schedules which name
                none.

        Raises:
            DeclarationError: It is no cron name.
        """
        name = checked_cron_name(cron_name)
        if name not in self._cron_names:
            self._cron_names.append(name)

    def put(
        self,
        name: str,
        task: Task[..., Any],
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        cron: str | None = None,
        interval: dt.timedelta | None = None,
        at: dt.datetime | None = None,
        time_zone: str = "UTC",
        until: dt.datetime | None = None,
        overlap: Literal["skip", "allow"] = "skip",
        grace: dt.timedelta | None = None,
        cron_name: str | None = None,
    ) -> Schedule:
        """Store a schedule; if there is one of this name, replace it.

        Its times count from now on. To put what is there already changes nothing, so it can be
        repeated. With another call and the same timing, the times go on as they were. One that was
        paused stays so.

        Args:
            name: Its name, up to 500 bytes, such as `tenant-42`.
            task: The task, with its options: those that differ from the declared ones are kept. A
                `delay` is not applied, as with periodic functions.
            args: The positional arguments of each call.
            kwargs: The keyword arguments of each call.
            cron: When it is due, as `App.periodic` takes it.
            interval: Or the shortest time between two runs, from a minute. The first one comes when
                this has passed.
            at: Or the one instant at which it is due, an aware datetime.
            time_zone: Time zone of `cron`.
            until: The last instant at which it may be due; None for no end.
            overlap: "skip" leaves out a run while the last one is queued, runs or is retried.
            grace: A run that is found to be due later than this is left out.
            cron_name: The cron name that serves it; the first one that is served if None.

        Returns:
            The schedule as it is stored.

        Raises:
            DeclarationError: An argument is wrong, it is never due, or no cron name serves it.
            EncodeError: The task does not accept the arguments, or they cannot be encoded.
        """
        calls = self._calls()
        now = calls.enqueuer.adapters.clock.now()
        given = ScheduleTiming(
            cron=cron,
            interval=interval,
            at=at,
            time_zone=time_zone,
            until=until,
            overlap=overlap,
            grace=grace,
            cron_name=self._served(cron_name),
        ).checked(now)
        name = _checked_name(name)
        content = calls.encode(name, task, args, kwargs or {})
        first = PeriodicState(slot=now, is_enqueued=True, timing=given.timing().text)
        wanted = StoredSchedule(
            name=name,
            calls=task.name,
            content=content,
            given=given,
            state=first,
            is_paused=False,
            put_at=now,
        )
        return self._view(self._write(wanted, calls, now))

    def _write(
        self, wanted: StoredSchedule, calls: ScheduledCalls, now: dt.datetime
    ) -> StoredSchedule:
        def work(transaction: Transaction) -> StoredSchedule:
            record = transaction.get([key_of(wanted.name)])[0]
            before = StoredSchedule.of(wanted.name, record) if record else None
            after = _replaced(before, wanted, calls, now) if before else wanted
            if after != before:
                write_back(transaction, after, record)
            return after

        return self._store.transact(work)

    def get(self, name: str) -> Schedule | None:
        """Return a schedule; None if there is none of this name."""
        record = self._store.get([key_of(name)])[0] if _is_name(name) else None
        return self._view(StoredSchedule.of(name, record)) if record else None

    def list(self, prefix: str = "") -> Iterator[Schedule]:
        """Yield the schedules whose names begin with a prefix, by name.

        One query is made, whose pages are fetched as the results are taken.
        """
        for name, record in self._store.by_name(KIND, prefix=prefix):
            yield self._view(StoredSchedule.of(name, record))

    def pause(self, name: str) -> Schedule:
        """Let a schedule be due no more until it is resumed; a run that is queued goes on.

        Raises:
            UnknownNameError: There is none of this name.
        """
        return self._changed(name, lambda stored: stored._replace(is_paused=True))

    def resume(self, name: str) -> Schedule:
        """Let a paused schedule be due again.

        Times that have passed meanwhile are left out. An interval that has passed is due at once.

        Raises:
            UnknownNameError: There is none of this name.
        """
        now = self._calls().enqueuer.adapters.clock.now()
        return self._changed(name, lambda it: it.resumed(now) if it.is_paused else it)

    def delete(self, name: str) -> bool:
        """Delete a schedule; return False if there is none. A run that is queued goes on."""

        def work(transaction: Transaction) -> bool:
            is_there = transaction.get([key_of(name)])[0] is not None
            if is_there:
                transaction.delete(key_of(name))
            return is_there

        return _is_name(name) and self._store.transact(work)

    @property
    def _store(self) -> EntityStore:
        return self._calls().enqueuer.adapters.store

    def _served(self, cron_name: str | None) -> str:
        if not self._cron_names:
            raise DeclarationError(
                "No cron name serves schedules: write app.schedules.serve() where the application"
                " is made, and deploy it."
            )
        name: str = plain_text(cron_name) or self._cron_names[0]
        if name not in self._cron_names:
            raise DeclarationError(
                f"cron_name={name!r:.80} serves no schedules; there are:"
                f" {', '.join(self._cron_names)}. Write app.schedules.serve({name!r:.80})."
            )
        return name

    def _changed(self, name: str, change: Callable[[StoredSchedule], StoredSchedule]) -> Schedule:
        def work(transaction: Transaction) -> StoredSchedule | None:
            record = transaction.get([key_of(name)])[0]
            if record is None:
                return None
            after = change(StoredSchedule.of(name, record))
            write_back(transaction, after, record)
            return after

        found = self._store.transact(work) if _is_name(name) else None
        if found is None:
            raise UnknownNameError(f"There is no schedule {name!r:.100}.")
        return self._view(found)

    def _view(self, stored: StoredSchedule) -> Schedule:
        try:
            _, args, kwargs = self._calls().decode(stored.name, stored.content)
        except AdjournError as error:
            return Schedule.of(stored, (), {}, str(error))
        return Schedule.of(stored, args, kwargs, "")


def _replaced(
    before: StoredSchedule, wanted: StoredSchedule, calls: ScheduledCalls, now: dt.datetime
) -> StoredSchedule:
    """Return a schedule that takes the place of another one, and goes on with its state."""
    is_same_call = calls.is_same(before.name, before.content, wanted.content)
    if is_same_call and before.given == wanted.given:
        return before
    after = before._replace(
        calls=wanted.calls, content=wanted.content, given=wanted.given, put_at=wanted.put_at
    )
    goes_on = before.given.timing().text == wanted.given.timing().text
    return after if goes_on and before.status != "ended" else after.restarted(now)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != "" and is_stored(name)


def _checked_name(name: object) -> str:
    if not _is_name(name):
        raise DeclarationError(
            f"{name!r:.100} cannot name a schedule; a name is a str of 1 to 500 bytes, not one like"
            " __this__."
        )
    plain: str = plain_text(name)
    return plain
