"""The endpoint at which users list and start callable tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adjourn.callable_tasks.definitions import CallableTaskDefinition
from adjourn.callable_tasks.forms import InvalidParametersError
from adjourn.callable_tasks.identity import User
from adjourn.errors import DecodeError, UnknownNameError
from adjourn.execution.delivery import Outcome, UserRequest, UserResponse
from adjourn.log import bound, event
from adjourn.registry import Registry
from adjourn.requests.gate import with_outcome
from adjourn.serialization.codec import from_json
from adjourn.state.user_starts import UserStarts, content_of
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.handle import TaskHandle
from adjourn.tasks.task import Task


@dataclass(kw_only=True, eq=False, repr=False)
class CallableTaskEndpoint:
    """Answers `GET /list` and `POST /execute/KEY`.

    Attributes:
        definitions: The declared callable tasks, by key.
        enqueuer: Enqueues the tasks that users start.
        starts: Records what users start; None where the seal of a call says that it is genuine.
        identify: Returns the user of a request or raises a `CallerError`; None if no user is
            accepted.
    """

    definitions: Registry[CallableTaskDefinition]
    enqueuer: Enqueuer
    starts: UserStarts | None
    identify: Callable[[UserRequest], User] | None

    def __call__(self, request: UserRequest) -> UserResponse:
        """Respond to a request; a response does not say why a user was refused."""
        if self.identify is None:
            return _refusal(404, "not found")
        methods = ("GET", "HEAD") if request.key is None else ("POST",)
        if request.method not in methods:
            return _refusal(405, "wrong method", Allow=", ".join(methods))
        identify = self.identify
        answer = with_outcome(lambda: self._answer(request, identify(request)))
        return answer if isinstance(answer, UserResponse) else _REFUSALS[answer]

    def _answer(self, request: UserRequest, user: User) -> UserResponse:
        # The id of the account identifies the user to an operator without an address in the log.
        with bound(user=user.id):
            return (
                self._list(request, user)
                if request.key is None
                else self._execute(request, request.key, user)
            )

    def _list(self, request: UserRequest, user: User) -> UserResponse:
        request.read_body()  # if there is one, the next request comes after it
        tasks = [each.describe() for each in self.definitions if each.allows(user)]
        return UserResponse(status=200, content={"tasks": tasks})

    def _execute(self, request: UserRequest, key: str, user: User) -> UserResponse:
        try:
            definition = self.definitions.get(key)
        except UnknownNameError:
            return _refusal(404, "not found")
        if not definition.allows(user):
            event("callable.refused", logging.WARNING, f"The user may not start {key}", key=key)
            return _REFUSALS[Outcome.FORBIDDEN]
        given = _parameters(request, definition)
        return given if isinstance(given, UserResponse) else self._enqueue(definition, given, user)

    def _enqueue(
        self, definition: CallableTaskDefinition, given: object, user: User
    ) -> UserResponse:
        # The user of the token, whatever the application's own `user` returns here.
        propagator = replace(self.enqueuer.propagator, user=lambda: user.email)
        enqueuer, task = replace(self.enqueuer, propagator=propagator), definition.task
        start = _recorded(self.starts, task, given, user) if self.starts else ""
        handle = enqueuer.enqueue(task, (given,), {}, user_start=start)
        event("callable.started", logging.INFO, f"{definition.key} is queued", task_id=handle.id)
        return UserResponse(status=202, content=_described(handle))


def _recorded(starts: UserStarts, task: Task[..., Any], given: object, user: User) -> str:
    """Record that a user who was checked starts a task; return the name of the record."""
    content = content_of(task.name, user.email, (given,), {})
    return starts.put(content, task.defaults.start(starts.clock.now(), 1.0))


def _parameters(request: UserRequest, definition: CallableTaskDefinition) -> object | UserResponse:
    """Return the parameters as they were sent, or a response that says what is wrong."""
    # A task without parameters needs no body and no content type.
    if request.has_body and request.content_type != "application/json":
        return _refusal(415, "the body must be application/json")
    body = request.read_body()
    try:
        given = from_json(body or b"{}")
    except DecodeError as error:
        return _refusal(400, str(error))
    try:
        definition.form.read(given)
    except InvalidParametersError as error:
        return UserResponse(status=422, content={"error": "invalid", "fields": error.errors})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the application's class raises
        text = f"The parameters of {definition.key} could not be made"
        event("callable.failed", logging.ERROR, text, error=error, key=definition.key)
        return _refusal(500, "failed")
    return given


def _described(handle: TaskHandle) -> Mapping[str, object]:
    return {
        "id": handle.id,
        "name": handle.name,
        "queue": handle.queue,
        "eta": handle.eta and handle.eta.isoformat(),
        "is_new": handle.is_new,
    }


def _refusal(status: int, error: str, **headers: str) -> UserResponse:
    return UserResponse(status=status, content={"error": error}, headers=headers)


_REFUSALS = {
    Outcome.UNAUTHENTICATED: _refusal(401, "unauthenticated", **{"WWW-Authenticate": "Bearer"}),
    Outcome.FORBIDDEN: _refusal(403, "forbidden"),
    Outcome.TROUBLE: _refusal(503, "trouble"),
    Outcome.TOO_LONG: _refusal(413, "body too long"),
    Outcome.BROKEN: _refusal(400, "the body cannot be read"),
    Outcome.SLOW: _refusal(408, "the body did not arrive in time"),
}
