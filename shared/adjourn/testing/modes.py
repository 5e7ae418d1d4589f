"""The ways in which an application is given a sandbox."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from adjourn.app import App
from adjourn.ports import Adapters
from adjourn.settings import Settings
from adjourn.testing.calls import CHANCE
from adjourn.testing.clock import START, FakeClock
from adjourn.testing.queries import MemoryQueries
from adjourn.testing.queue import MemoryQueue
from adjourn.testing.sandbox import SETTINGS, Sandbox
from adjourn.testing.store import MemoryStore
from adjourn.testing.transactions import MemoryTransactions
from adjourn.testing.verifier import MemoryVerifier


def fake(
    app: App, settings: Settings = SETTINGS, *, now: dt.datetime = START
) -> AbstractContextManager[Sandbox]:
    """Give an application an outside world that takes down its calls, and runs none.

    They run when the sandbox is drained; what they raise is then raised in the test.

    Args:
        app: The application.
        settings: Its deployment.
        now: The time at which the sandbox's clock stands.

    Raises:
        TypeError: It is no application.
        ValueError: `now` is naive.
    """
    return sandbox(app, settings, now=now, fails_fast=True)


def inline(
    app: App, settings: Settings = SETTINGS, *, now: dt.datetime = START
) -> AbstractContextManager[Sandbox]:
    """Give an application an outside world in which its calls run at once.

    They take the same way as in production: they are encoded, verified, decoded and dispatched.
    Those of a task run after it, and those with a later start when `Sandbox.travel` gets there.
    What they raise is raised where they are made.

    Args:
        app: The application.
        settings: Its deployment.
        now: The time at which the sandbox's clock stands.

    Raises:
        TypeError: It is no application.
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
    """Give an application an outside world in memory for a while.

    Args:
        app: The application.
        settings: Its deployment.
        now: The time at which the sandbox's clock stands.
        is_inline: Whether calls run at once; see `inline`.
        fails_fast: Whether what tasks raise is raised in the test. Otherwise `Sandbox.drain` and
            the like return outcomes.

    Raises:
        TypeError: It is no application.
        ValueError: `now` is naive.
    """
    if not isinstance(app, App):
        raise TypeError(f"{app!r} is no adjourn.App.")
    clock, store, queries = FakeClock(now), MemoryStore(), MemoryQueries()
    queue, verifier = MemoryQueue(clock), MemoryVerifier(clock)
    transactions = MemoryTransactions(store)
    ids = itertools.count(1)
    adapters = Adapters(
        queue=queue,
        store=store,
        queries=queries,
        verifier=verifier,
        transactions=transactions,
        clock=clock,
        new_id=lambda: f"{next(ids):032x}",
        chance=lambda: CHANCE,
        ahead=lambda work: work,  # and so a test has but one thread
        repeating=clock.repeating,
    )
    with app.rewired(settings, adapters) as wiring:
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
