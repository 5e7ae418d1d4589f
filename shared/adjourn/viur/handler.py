"""The endpoints of ViUR's task module, for an application that serves them itself."""

from __future__ import annotations

from typing import Any

from adjourn.tasks.methods import Method
from adjourn.viur.application import app


class TaskHandler:
    """Answers what Cloud Tasks, Cloud Scheduler and people ask under `/_tasks`.

    Those that are deployed as functions of their own need none of it. In a Flask application, each
    method is given its request and returns the response; who calls is verified as in the functions.
    """

    adminInfo = None

    def __init__(self, moduleName: str = "_tasks", modulePath: str = "_tasks") -> None:
        self.moduleName = moduleName
        self.modulePath = modulePath

    @property
    def retryCountWarningThreshold(self) -> int:
        """Retries after which a call is warned of, once: the setting `ADJOURN_RETRY_WARNING`."""
        return app.wiring().settings.retry_warning

    def findBoundTask(
        self,
        task: Any,
        obj: object = None,
        depth: int = 0,  # noqa: ARG002 - nothing is searched, so there is none
    ) -> tuple[Any, object] | None:
        """Return a periodic or deferred method on an object that has it, and the object.

        Args:
            task: What the decorator made of the method.
            obj: The object; the first one registered that has the method if None.
            depth: Has no effect.
        """
        return app.bound_to(task, obj) if isinstance(task, Method) else None

    def deferred(self, request: Any) -> Any:
        """Run the call that Cloud Tasks delivers."""
        return self._answer(request, app.wiring().receive_task)

    def queryIter(self, request: Any) -> Any:
        """Carry out the step that Cloud Tasks delivers."""
        return self._answer(request, app.wiring().receive_step)

    def cron(self, request: Any, cronName: str = "default") -> Any:
        """Enqueue what is due under a cron name."""
        receive = app.wiring().receive_tick
        return self._answer(request, lambda tick: receive(tick._replace(path=f"/{cronName}")))

    def list(self, request: Any) -> Any:
        """List the callable tasks that a person may start."""
        return self._person(request, None)

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
