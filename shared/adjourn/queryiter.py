"""Walk over any number of Datastore entities in small steps that can neither fork nor be lost.

The run entity is the single truth: the number of the step that is to come, the position in the
query, counters, and a lease with a fencing token. A step's task carries only the run's id and the
step's number and is named after them, so however often it is delivered, the run is advanced once.
"""

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from adjourn.clock import Clock
from adjourn.codec import Codec
from adjourn.errors import DeclarationError, DecodeError, TaskExistsError
from adjourn.log import event
from adjourn.options import Options
from adjourn.ports import EntityStore, NewTask, QuerySource, Target, TaskQueue, Transaction
from adjourn.registry import Registry, default_name, is_lazy
from adjourn.runs import UNINDEXED, Run, RunState, Status, Verdict, judge, key_of
from adjourn.walk import Walk, encoded

E = TypeVar("E")

_SHORTEST_LEASE = dt.timedelta(seconds=60)
_LARGEST_BATCH = 1000
# Half of what Cloud Tasks waits for an answer by default (10 minutes), so that the lease fits in.
_LONGEST_STEP = 300


class QueryIter(Generic[E]):
    """What to do with each entity of a query; subclass it and decorate it with `@app.query_iter`.

    Instances hold no state between steps: what must last belongs in `custom_data`, which is kept
    in the run and may be changed by every hook.

    Attributes:
        batch_size: Entities read at once.
        step_seconds: How long a step goes on before the next one is enqueued.
        queue_name: Short name of the queue of the steps; the application's default queue if None.
    """

    batch_size: ClassVar[int] = 500
    step_seconds: ClassVar[float] = 20
    queue_name: ClassVar[str | None] = None

    _iterations: ClassVar["Callable[[], Iterations] | None"] = None

    def handle_entry(self, entry: E, custom_data: Any) -> None:
        """Handle one entity; after a crash it may come again, so let a repetition do no harm."""
        raise NotImplementedError

    def handle_error(self, entry: E, custom_data: Any, exception: Exception) -> bool:  # noqa: ARG002
        """Say whether to go on (True, the default) or to stop the run at this entity (False).

        Called when `handle_entry` raised; the error has been logged and counted.
        """
        return True

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        """Conclude the run; `total_count` entities were handled. Tried again if it raises."""

    @classmethod
    def check(cls) -> None:
        """Refuse a class that could not be carried out; `@app.query_iter` does it.

        Raises:
            DeclarationError: A hook is missing or not a plain function, or an attribute is wrong.
        """
        if cls.handle_entry is QueryIter.handle_entry:
            raise DeclarationError(f"{cls.__name__} needs handle_entry(self, entry, custom_data).")
        for hook in ("handle_entry", "handle_error", "handle_finish"):
            if is_lazy(getattr(cls, hook)):
                raise DeclarationError(f"{cls.__name__}.{hook} must be a plain function.")
        if type(cls.batch_size) is not int or not 1 <= cls.batch_size <= _LARGEST_BATCH:
            raise DeclarationError(
                f"{cls.__name__}.batch_size must be a whole number from 1 to {_LARGEST_BATCH}."
            )
        if type(cls.step_seconds) not in {int, float} or not 0 < cls.step_seconds <= _LONGEST_STEP:
            raise DeclarationError(
                f"{cls.__name__}.step_seconds must be more than 0 and at most {_LONGEST_STEP}."
            )
        Options().changed(queue=cls.queue_name)

    @classmethod
    def bind(cls, iterations: "Callable[[], Iterations]") -> None:
        """Tie the class to an application; `@app.query_iter` does it."""
        cls._iterations = staticmethod(iterations)

    @classmethod
    def start(cls, query: object, custom_data: object = None) -> "RunHandle":
        """Begin to walk over a `google.cloud.datastore` query.

        Args:
            query: The query; each entity that it returns is handed to `handle_entry`.
            custom_data: Anything that a task's arguments may be.

        Raises:
            DeclarationError: The query cannot be resumed, or the class is not registered.
            EncodeError: `custom_data` cannot be carried.
            EnqueueError: Cloud Tasks did not accept the first step.
            StoreError: Datastore did not accept the run.
        """
        # Looked up in the class itself: a subclass needs a registration of its own.
        if "_iterations" not in vars(cls) or cls._iterations is None:
            raise DeclarationError(f"Decorate {cls.__name__} with @app.query_iter to start it.")
        return cls._iterations().start(cls, query, custom_data)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunHandle:
    """A run that was started."""

    id: str
    _read: Callable[[str], RunState | None]

    def fetch(self) -> RunState | None:
        """Return how the run stands, None if its entity is gone.

        Raises:
            StoreError: Datastore could not be reached.
        """
        return self._read(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step's task carries."""

    run_id: str
    number: int

    def encode(self) -> bytes:
        """Return the task's body."""
        return json.dumps({"v": 1, "run": self.run_id, "step": self.number}).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Step":
        """Read a task's body.

        Raises:
            DecodeError: It is not one of ours.
        """
        try:
            fields = json.loads(body)
            version, run_id, number = fields["v"], fields["run"], fields["step"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DecodeError(f"The body is not a step: {type(error).__name__}.") from error
        if version != 1 or not run_id or not isinstance(run_id, str) or type(number) is not int:
            raise DecodeError("The body is not a step of version 1.")
        return cls(run_id=run_id, number=number)

    def task_name(self) -> str:
        """Return the name under which this step is enqueued once and no more."""
        return f"{self.run_id}-0-{self.number}"


@dataclass(kw_only=True, eq=False, repr=False)
class Iterations:
    """Starts runs and carries out their steps."""

    registry: Registry[type[QueryIter[Any]]]
    store: EntityStore
    queries: QuerySource
    queue: TaskQueue
    codec: Codec
    clock: Clock
    new_id: Callable[[], str]
    default_queue: str

    def start(self, cls: type[QueryIter[Any]], query: object, custom_data: object) -> RunHandle:
        """Write the run's entity, then enqueue its first step; see `QueryIter.start`."""
        described = self.queries.describe(query)
        now = self.clock.now()
        run = Run(
            id=self.new_id(),
            iteration=default_name(cls),
            queue=cls.queue_name or self.default_queue,
            query=self.codec.dumps(dict(described)),
            custom_data=encoded(custom_data, self.codec),
            total=self.queries.count(described),
            started_at=now,
            updated_at=now,
        )
        self.store.put(key_of(run.id), run.record(), unindexed=UNINDEXED)
        self._enqueue(run)
        event("iteration.started", logging.INFO, f"{run.iteration}: {run.total}", run=run.id)
        return RunHandle(id=run.id, _read=self.state)

    def state(self, run_id: str) -> RunState | None:
        """Return how a run stands, None if there is none of that id."""
        record = self.store.get([key_of(run_id)])[0]
        return None if record is None else Run.from_record(run_id, record).state()

    def step(self, step: Step) -> Verdict:
        """Carry out a delivered step, if it is this delivery's to carry out.

        Raises:
            UnknownNameError: The application has no such iteration; the run is left as it is.
            DecodeError: It cannot read the run's data, such as a class that is not registered.
            StoreError: Datastore failed; what was handled stays counted where that was possible.
            EnqueueError: The next step was not accepted; a repeated delivery enqueues it.
        """
        verdict, run = self._claim(step)
        if run is not None and verdict is Verdict.GRANTED:
            verdict, run = self._carry_out(run)
        if run is not None and run.is_live and verdict in {Verdict.GRANTED, Verdict.STALE}:
            self._enqueue(run)
        return verdict

    def _claim(self, step: Step) -> tuple[Verdict, Run | None]:
        def work(transaction: Transaction) -> tuple[Verdict, Run | None]:
            record = transaction.get([key_of(step.run_id)])[0]
            if record is None:
                return Verdict.MISSING, None
            run, now = Run.from_record(step.run_id, record), self.clock.now()
            verdict = judge(run, step.number, now)
            if verdict is Verdict.GRANTED:
                run = run.leased(now, _lease(self.registry.get(run.iteration)))
                transaction.put(key_of(run.id), run.record(), unindexed=UNINDEXED)
            return verdict, run

        return self.store.transact(work)

    def _carry_out(self, claimed: Run) -> tuple[Verdict, Run | None]:
        hooks = self.registry.get(claimed.iteration)()
        walk = Walk(claimed, hooks, queries=self.queries, codec=self.codec, clock=self.clock)
        try:
            walk.go()
        except (Exception, SystemExit) as error:
            if claimed.status is not Status.FINISHING:
                self._advance(claimed.token, walk.result())
                raise
            event("iteration.failed", logging.ERROR, "handle_finish failed", error=error)
            self._advance(claimed.token, claimed)
            return Verdict.FAILED, None
        advanced = self._advance(claimed.token, walk.result())
        return (Verdict.GRANTED, advanced) if advanced else (Verdict.BUSY, None)

    def _advance(self, token: int, run: Run) -> Run | None:
        """Store what a step did and give the lease back; None if another delivery has it."""

        def work(transaction: Transaction) -> Run | None:
            record = transaction.get([key_of(run.id)])[0]
            if record is None or record["token"] != token:
                event("iteration.fenced", logging.WARNING, "A late step was shut out", run=run.id)
                return None
            advanced = replace(run, lease_until=None, updated_at=self.clock.now())
            transaction.put(key_of(run.id), advanced.record(), unindexed=UNINDEXED)
            return advanced

        return self.store.transact(work)

    def _enqueue(self, run: Run) -> None:
        step = Step(run_id=run.id, number=run.step)
        with contextlib.suppress(TaskExistsError):
            self.queue.enqueue(
                NewTask(
                    target=Target.QUERYITER,
                    label=run.iteration,
                    queue=run.queue,
                    body=step.encode(),
                    name=step.task_name(),
                )
            )


def _lease(cls: type[QueryIter[Any]]) -> dt.timedelta:
    # Twice the budget, since a step ends only between two entities.
    return max(_SHORTEST_LEASE, 2 * dt.timedelta(seconds=cls.step_seconds))
