"""All ports of a deployment together: Google's services, or their twins in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from adjourn.clock import Clock
from adjourn.concurrency import ahead, is_stopping, repeating, time_limit
from adjourn.coroutines import finished, pause
from adjourn.ports.application_transactions import ApplicationTransactions
from adjourn.ports.entity_store import EntityStore
from adjourn.ports.job_scheduler import JobScheduler
from adjourn.ports.query_source import QuerySource
from adjourn.ports.sealer import Sealer
from adjourn.ports.task_queue import TaskQueue
from adjourn.ports.token_verifier import TokenVerifier


@dataclass(kw_only=True, eq=False, repr=False)
class Adapters:
    """Everything outside of the process that adjourn uses, and what tests replace.

    Attributes:
        queue: Cloud Tasks.
        store: Datastore, for our own records.
        queries: Datastore, for the queries of the application.
        jobs: Cloud Scheduler.
        verifier: Verifies the tokens of callers.
        transactions: The transactions of the application.
        clock: The time.
        new_id: Returns a new unique id.
        chance: Returns random numbers from 0 to 1.
        ahead: Begins work in the background; returns what waits for the result.
        is_stopping: Whether the server of this process was told to stop.
        time_limit: Returns a context manager that ends its block after some seconds, by an
            exception of a type.
        finished: Returns what a function returned or, if that is a coroutine, its result once it
            has run, for some seconds at most.
        sealer: Seals and opens the bodies of tasks; None without a key. The queue seals by itself.
        repeating: Calls something every so many seconds while a context is open.
        wait: Waits for some seconds, or until an event is set.
        sleep: Waits for some seconds.
        asleep: Waits for some seconds on an event loop.
    """

    queue: TaskQueue
    store: EntityStore
    queries: QuerySource
    jobs: JobScheduler
    verifier: TokenVerifier
    transactions: ApplicationTransactions
    clock: Clock
    new_id: Callable[[], str]
    chance: Callable[[], float]
    sealer: Sealer | None = None
    ahead: Callable[[Callable[[], Any]], Callable[[], Any]] = ahead
    is_stopping: Callable[[], bool] = is_stopping
    time_limit: Callable[[float, type[BaseException]], AbstractContextManager[None]] = time_limit
    finished: Callable[[Any, float, type[BaseException]], Any] = finished
    repeating: Callable[[float, Callable[[], object]], AbstractContextManager[None]] = repeating
    wait: Callable[[threading.Event, float], object] = threading.Event.wait
    sleep: Callable[[float], object] = time.sleep
    asleep: Callable[[float], Awaitable[object]] = pause
