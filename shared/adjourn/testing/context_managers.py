"""The context managers that put an application in a sandbox: `fake`, `inline` and `sandbox`."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from adjourn.app import App
from adjourn.coroutines import finished, off_loop
from adjourn.ports import Adapters
from adjourn.serialization.sealing import sealing
from adjourn.settings import Settings
from adjourn.testing.enqueued_calls import CHANCE
from adjourn.testing.entity_store import MemoryStore
from adjourn.testing.fake_clock import START, FakeClock
from adjourn.testing.job_scheduler import MemoryJobs
from adjourn.testing.query_source import MemoryQueries
from adjourn.testing.sandbox import SETTINGS, Sandbox
from adjourn.testing.task_queue import MemoryQueue
from adjourn.testing.token_verifier import MemoryVerifier
from adjourn.testing.transactions import MemoryTransactions


def fake(
    app: App, settings: Settings = SETTINGS, *, now: dt.datetime = START
) -> AbstractContextManager[Sandbox]:
    """Put an application in a sandbox that records its calls and does not run them by itself.

    The calls run when the test drains the sandbox; what they raise is then raised in the test.

    Args:
        app: The application.
        settings: Its settings.
        now: The first time of the sandbox's clock.

    Raises:
        TypeError: It is not an application.
        ValueError: `now` is naive.
    """
    return sandbox(app, settings, now=now, fails_fast=True)


def inline(
    app: App, settings: Settings = SETTINGS, *, now: dt.datetime = START
) -> AbstractContextManager[Sandbox]:
    """Put an application in a sandbox that runs its calls at once.

    Calls go the same way as in production: they are encoded, verified, decoded and dispatched.
    Calls that a task makes run after the task. Calls with a later start run when `Sandbox.travel`
    reaches it. What a call raises is raised where the call is made.

    Args:
        app: The application.
        settings: Its settings.
        now: The first time of the sandbox's clock.

    Raises:
        TypeError: It is not an application.
        ValueError: `now` is naive.
    """
    return sandbox(app, settings, now=now, fails_fast=True, is_inline=True)


@contextmanager
def sandbox(
    app: App,
    settings: Settings = SETTINGS,
    *,
    now: dt.datetime = START,
    is_inline: bool = False,
    fails_fast: bool = False,
) -> Iterator[Sandbox]:
    """Put an application in a sandbox for a `with` block.

    Args:
        app: The application.
        settings: Its settings.
        now: The first time of the sandbox's clock.
        is_inline: Whether calls run at once; see `inline`.
        fails_fast: Whether what tasks raise is raised in the test. Otherwise `Sandbox.drain` and
            similar methods return outcomes.

    Raises:
        TypeError: It is not an application.
        ValueError: `now` is naive.
    """
    if not isinstance(app, App):
        raise TypeError(f"{app!r} is not an adjourn.App.")
    clock, store, queries = FakeClock(now), MemoryStore(), MemoryQueries()
    queue, verifier = MemoryQueue(clock), MemoryVerifier(clock)
    transactions = MemoryTransactions(store)
    ids = itertools.count(1)
    adapters = Adapters(
        queue=queue,
        store=store,
        queries=queries,
        jobs=MemoryJobs(),
        verifier=verifier,
        transactions=transactions,
        clock=clock,
        new_id=lambda: f"{next(ids):032x}",
        chance=lambda: CHANCE,
        ahead=lambda work: work,  # so that a test has only one thread
        time_limit=lambda _seconds, _error: nullcontext(),  # nor ends in a debugger
        finished=lambda result, _seconds, _error: finished(result),
        repeating=clock.repeating,
        wait=lambda _event, _seconds: None,  # the clock stands still, so the step is put off
        sleep=lambda seconds: box.travel(by=seconds),
        asleep=lambda seconds: off_loop(partial(box.travel, by=seconds)),
    )
    with app.rewired(settings, sealing(adapters, settings)) as wiring:
        box = Sandbox(
            app=app,
            wiring=wiring,
            clock=clock,
            queue=queue,
            store=store,
            queries=queries,
            verifier=verifier,
            transactions=transactions,
            is_inline=is_inline,
            fails_fast=fails_fast,
        )
        if is_inline:
            queue.arrived = box.run_due
        yield box
