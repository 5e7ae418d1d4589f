"""Which files of the library a delivery travels through: the way that a reader has to follow.

    python -m bench.journeys

Counts the files of `shared/adjourn` of which at least one function is entered, from the HTTP
request to its answer, and how often the way changes from one file to another. Each kind of delivery
is made once before it is measured, so that what is made on first use is not counted.

The outside world is that of `adjourn.testing`, so neither its files nor those of `adjourn.gcp` are
counted. Nothing is imported but what is public, and what answers deliveries from each of the places
where it has been: so the script measures older revisions as well.

    PYTHONPATH=OTHER_CHECKOUT/shared python bench/journeys.py
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

import adjourn
from adjourn import App, QueryIter
from adjourn.testing import SETTINGS, MemoryQuery, Queued, Sandbox, sandbox

_LIBRARY = Path(adjourn.__file__).parent
_OUTSIDE = ("testing/", "gcp/")
_ENTITIES = 5
_DONE = 204


@dataclass(eq=False)
class Journey:
    """The functions of the library that were entered, in order.

    Attributes:
        name: What was delivered.
        files: Of each call, the file of its function, relative to the library.
    """

    name: str
    files: list[str] = field(default_factory=list)

    @property
    def entered(self) -> list[str]:
        """The files that were entered, each once, in the order in which they first were."""
        return list(dict.fromkeys(self.files))

    @property
    def changes(self) -> int:
        """How often a call was followed by one in another file."""
        return sum(one != another for one, another in zip(self.files, self.files[1:], strict=False))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the calls that are made meanwhile, in threads that are started meanwhile too."""

        def profile(frame: FrameType, happened: str, _argument: object) -> None:
            path = Path(frame.f_code.co_filename)
            if happened == "call" and path.is_relative_to(_LIBRARY):
                name = path.relative_to(_LIBRARY).as_posix()
                if not name.startswith(_OUTSIDE):
                    self.files.append(name)

        before = sys.getprofile()
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(None)  # type: ignore[arg-type] # typeshed knows no way to end it


def step() -> Journey:
    """Follow a step of a run with several pages, which hands entities to `handle_entry`."""
    app = App()

    class Walk(QueryIter[Any]):
        batch_size = 2

        def handle_entry(self, entry: Any, custom_data: Any) -> None:
            """Handle one entity."""

    app.query_iter(name="walk")(Walk)
    with sandbox(app) as box:
        for number in range(_ENTITIES):
            box.queries.add("Order", number)

        def enqueue() -> None:
            Walk.start(MemoryQuery("Order"))

        return _followed("a step of an iteration", box, enqueue)


def call() -> Journey:
    """Follow the delivery of a plain deferred call."""
    app = App()

    @app.deferred(name="greet")
    def greet(name: str) -> str:
        return f"Hello, {name}"

    with sandbox(app) as box:
        return _followed("a plain deferred call", box, lambda: greet("Ada"))


def _followed(name: str, box: Sandbox, enqueue: Callable[[], object]) -> Journey:
    """Return the journey of the second of two deliveries."""
    enqueue()
    _delivered(box)
    box.drain()
    enqueue()
    journey = Journey(name)
    _delivered(box, journey)
    return journey


def _delivered(box: Sandbox, journey: Journey | None = None) -> None:
    """Deliver what is due as Cloud Tasks does, to the function that functions-framework would run.

    Raises:
        RuntimeError: The answer is not that of a task that was done.
    """
    (queued,) = box.queue.due()
    respond = _function(box, queued)
    with (journey or Journey("")).recorded():
        status = respond()
    if status != _DONE:
        raise RuntimeError(f"The delivery was answered {status}")
    box.queue.settle(queued)


def _function(box: Sandbox, queued: Queued) -> Callable[[], int]:
    """Return what answers the delivery of a task, and returns the status of the answer."""
    is_step = queued.task.target == "queryiter"
    url = SETTINGS.queryiter_url if is_step else SETTINGS.deferred_url
    environ = EnvironBuilder(
        method="POST",
        data=queued.task.body,
        headers={
            "Authorization": f"Bearer {box.verifier.token(SETTINGS.service_account, url)}",
            "Content-Type": "application/json",
            "X-CloudTasks-QueueName": queued.task.queue,
            "X-CloudTasks-TaskName": queued.name.rsplit("/", 1)[1],
            "X-CloudTasks-TaskRetryCount": "0",
            "X-CloudTasks-TaskExecutionCount": "0",
        },
    ).get_environ()
    receive = box.wiring.receive_step if is_step else box.wiring.receive_task
    project = box.wiring.settings.project
    try:
        from adjourn.requests.wsgi import delivering  # noqa: PLC0415
    except ImportError:  # a revision that leaves deliveries to Flask
        respond = _flask_function()(receive, project)
        return lambda: respond(Request(environ)).status_code
    deliver = delivering(receive, project)
    return lambda: deliver(environ).status


def _flask_function() -> Callable[..., Any]:
    try:
        from adjourn.requests.http import function  # noqa: PLC0415
    except ImportError:  # a revision without rooms
        from adjourn.http import function  # type: ignore[no-redef,import-not-found] # noqa: PLC0415
    return function


def main() -> None:
    """Print what each journey enters."""
    for journey in (step(), call()):
        print(
            f"{journey.name}: {len(journey.entered)} files, {len(journey.files)} calls,"
            f" {journey.changes} changes of file"
        )
        for name in journey.entered:
            print(f"  {name} ({journey.files.count(name)})")


if __name__ == "__main__":
    main()
