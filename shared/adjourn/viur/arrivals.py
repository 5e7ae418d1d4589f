"""What ViUR enqueued before the application moved, as calls and runs of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from adjourn.application.declarations import Declarations
from adjourn.application.wiring import Wiring
from adjourn.errors import EncodeError, PermanentTaskFailure, StoreError, UnknownNameError
from adjourn.execution.current_task import current_task
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.iteration.run_handle import RunHandle
from adjourn.requests.gate import Receiver
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task
from adjourn.viur import takeover
from adjourn.viur.bodies import TAKE_OVER, identity, translating
from adjourn.viur.calls import DEFAULT_QUEUE
from adjourn.viur.steps import CARRY_ON, ViurStep, content_of, text_of_step


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Arrivals:
    """Takes over the calls and the steps of iterations that ViUR enqueued."""

    declared: Declarations
    wiring: Callable[[], Wiring]
    start_run: Callable[..., RunHandle]
    run_startup_tasks: Callable[[], None]

    def declare(self) -> None:
        """Let the application understand the bodies that ViUR wrote."""
        self.declared.wrap_task_runner = translating
        self.declared.wrap_step_receiver = self.receiving_steps
        for name, function in (
            (TAKE_OVER, self.take_over),
            (CARRY_ON, self.carry_on),
            (takeover.STARTUP, self.run_startup_tasks),
        ):
            task: Task[..., None] = Task(
                name=name,
                function=function,
                defaults=Options(),
                enqueuer=lambda: self.wiring().enqueuer,
            )
            self.declared.tasks.add(name, task)

    def take_over(
        self,
        command: str,
        path: str,
        args: Sequence[object],
        kwargs: dict[str, object],
        marker: str,
    ) -> None:
        """Enqueue the call that ViUR meant, as one of ours."""
        this, adapters = current_task(), self.wiring().adapters
        age = adapters.clock.now() - this.enqueued_at
        takeover.await_commit(marker, age, adapters.store)
        try:
            found = takeover.find(command, path, self.declared.tasks, self.declared.objects)
        except UnknownNameError as error:
            takeover.or_later(error, age)
        else:
            task, receiver = found
            if this.queue != DEFAULT_QUEUE:
                task = task.options(queue=this.queue)
            enqueue = self.wiring().enqueuer.enqueue
            enqueue(task, (*receiver, *args), kwargs, call=f"{this.id}-viur")

    def receiving_steps(self, receive: Receiver) -> Receiver:
        """Return a receiver of steps that has iterations carried on that ViUR began."""
        task = self.declared.tasks.get(CARRY_ON)

        def receive_either(delivery: Delivery) -> Outcome:
            text = text_of_step(delivery.body)
            if text is not None:
                with suppress(EncodeError):
                    self.wiring().enqueuer.enqueue(task, (text,), {}, call=identity(delivery))
                    return Outcome.DONE
            return receive(delivery)

        return receive_either

    def carry_on(self, content: str | Mapping[str, Any]) -> None:
        """Begin a run where ViUR's stood, once however often its step was delivered.

        Args:
            content: The text of the step's body, or its values, as earlier revisions passed them.
        """
        this, wiring = current_task(), self.wiring()
        try:
            step = ViurStep.read(content_of(content) if isinstance(content, str) else content)
            iteration = self.declared.iterations.get(step.iteration)
            self.start_run(iteration, step.query, step.custom_data, this.id)
        except UnknownNameError as error:
            takeover.or_later(error, wiring.adapters.clock.now() - this.enqueued_at)
        except (ValueError, TypeError) as error:  # what was delivered does not get better
            raise PermanentTaskFailure(f"ViUR's iteration cannot be carried on: {error}") from error
        except StoreError as error:
            if type(error.__cause__).__name__ != "InvalidArgument":
                raise
            raise PermanentTaskFailure(f"Datastore refuses ViUR's query: {error}") from error
