"""The endpoints of ViUR's task module, for an application that serves them itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from adjourn.tasks.methods import Method
from adjourn.viur.application import app
from adjourn.viur.modules import DEPTH, unwrapped

F = TypeVar("F", bound=Callable[..., Any])


def _exposed(endpoint: F) -> F:
    """Mark an endpoint as ViUR marks those that requests reach."""
    endpoint.exposed = True  # type: ignore[attr-defined]  # functions take attributes
    return endpoint


class TaskHandler:
    """Answers what Cloud Tasks, Cloud Scheduler and people ask under `/_tasks`.

    Those that are deployed as functions of their own need none of it. In a Flask application, each
    method is given its request and returns the response; who calls is verified as in the functions.
    """

    adminInfo = None
    # Where ViUR renders it.
    admin = vi = html = True

    def __init__(self, moduleName: str = "_tasks", modulePath: str = "_tasks") -> None:
        self.moduleName = moduleName
        self.modulePath = modulePath

    @property
    def retryCountWarningThreshold(self) -> int:
        """Retries after which a call is warned of, once: the setting `ADJOURN_RETRY_WARNING`."""
        return app.wiring().settings.retry_warning

    def findBoundTask(
        self, task: Any, obj: object = None, depth: int = 0
    ) -> tuple[Any, object] | None:
        """Return a periodic or deferred method on an object that has it, and the object.

        Args:
            task: What the decorator made of the method.
            obj: Where to look, and below it, down to the third level; the application if None.
            depth: The level at which `obj` is; nothing is found below the third.
        """
        method = unwrapped(task)
        if not isinstance(method, Method) or depth > DEPTH:
            return None
        return app.bound_to(method, obj)

    @_exposed
    def deferred(self, request: Any) -> Any:
        """Run the call that Cloud Tasks delivers."""
        return self._answer(request, app.wiring().receive_task)

    @_exposed
    def queryIter(self, request: Any) -> Any:
        """Carry out the step that Cloud Tasks delivers."""
        return self._answer(request, app.wiring().receive_step)

    @_exposed
    def cron(self, request: Any, cronName: str = "default") -> Any:
        """Enqueue what is due under a cron name."""
        receive = app.wiring().receive_tick
        return self._answer(request, lambda tick: receive(tick._replace(path=f"/{cronName}")))

    @_exposed
    def list(self, request: Any) -> Any:
        """List the callable tasks that a person may start."""
        return self._person(request, None)

    @_exposed
    def execute(self, request: Any, taskID: str) -> Any:
        """Start a callable task."""
        return self._person(request, taskID)

    def _answer(self, request: Any, receive: Any) -> Any:
        from adjourn.requests.http import function  # noqa: PLC0415 - Flask, for those who serve with it

        return function(receive, app.wiring().settings.project)(request)

    def _person(self, request: Any, key: str | None) -> Any:
        from adjourn.requests.http import person  # noqa: PLC0415 - Flask, for those who serve with it

        wiring = app.wiring()
        return person(wiring.receive_person, wiring.settings.project, key)(request)
