"""Answer people who list and start callable tasks: who they are, what they may, what they want."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from adjourn.callable_tasks.definitions import Offer
from adjourn.callable_tasks.forms import InvalidError
from adjourn.callable_tasks.identity import User
from adjourn.errors import DecodeError, UnknownNameError
from adjourn.execution.delivery import Asked, Outcome, Reply
from adjourn.log import bound, event
from adjourn.registry import Registry
from adjourn.requests.gate import with_outcome
from adjourn.serialization.codec import from_json
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.handle import TaskHandle


@dataclass(kw_only=True, eq=False, repr=False)
class People:
    """Answers `GET /list` and `POST /execute/KEY`.

    Attributes:
        identify: Tells who asks, or raises a `CallerError`; None where nobody is let in.
    """

    offers: Registry[Offer]
    enqueuer: Enqueuer
    identify: Callable[[Asked], User] | None

    def __call__(self, asked: Asked) -> Reply:
        """Answer one request; no answer tells why somebody was refused."""
        if self.identify is None:
            return _refusal(404, "not found")
        methods = ("GET", "HEAD") if asked.key is None else ("POST",)
        if asked.method not in methods:
            return _refusal(405, "wrong method", Allow=", ".join(methods))
        if asked.body is None:
            return _refusal(413, "body too long")
        identify = self.identify
        answer = with_outcome(lambda: self._answer(asked, identify(asked)))
        return answer if isinstance(answer, Reply) else _REFUSALS[answer]

    def _answer(self, asked: Asked, user: User) -> Reply:
        # The account's number tells an operator who it was, without an address in the log.
        with bound(user=user.id):
            return self._list(user) if asked.key is None else self._execute(asked, asked.key, user)

    def _list(self, user: User) -> Reply:
        offered = [offer.describe() for offer in self.offers if offer.allows(user)]
        return Reply(status=200, content={"tasks": offered})

    def _execute(self, asked: Asked, key: str, user: User) -> Reply:
        try:
            offer = self.offers.get(key)
        except UnknownNameError:
            return _refusal(404, "not found")
        if not offer.allows(user):
            event("callable.refused", logging.WARNING, f"May not start {key}", key=key)
            return _REFUSALS[Outcome.FORBIDDEN]
        given = _given(asked, offer)
        return given if isinstance(given, Reply) else self._enqueue(offer, given, user)

    def _enqueue(self, offer: Offer, given: object, user: User) -> Reply:
        # Whom the token names, whatever the application says of its own users here.
        propagator = replace(self.enqueuer.propagator, user=lambda: user.email)
        handle = replace(self.enqueuer, propagator=propagator).enqueue(offer.task, (given,), {})
        event("callable.started", logging.INFO, f"{offer.key} is queued", task_id=handle.id)
        return Reply(status=202, content=_told(handle))


def _given(asked: Asked, offer: Offer) -> object | Reply:
    """Return the parameters as they were sent, or what is wrong with them."""
    # A task without parameters needs no body, and then no type of one.
    if asked.body and asked.content_type != "application/json":
        return _refusal(415, "the body must be application/json")
    try:
        given = from_json(asked.body or b"{}")
    except DecodeError as error:
        return _refusal(400, str(error))
    try:
        offer.form.read(given)
    except InvalidError as error:
        return Reply(status=422, content={"error": "invalid", "fields": error.found})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the user's class of parameters raises
        text = f"The parameters of {offer.key} failed"
        event("callable.failed", logging.ERROR, text, error=error, key=offer.key)
        return _refusal(500, "failed")
    return given


def _told(handle: TaskHandle) -> Mapping[str, object]:
    return {
        "id": handle.id,
        "name": handle.name,
        "queue": handle.queue,
        "eta": handle.eta and handle.eta.isoformat(),
        "is_new": handle.is_new,
    }


def _refusal(status: int, error: str, **headers: str) -> Reply:
    return Reply(status=status, content={"error": error}, headers=headers)


_REFUSALS = {
    Outcome.UNAUTHENTICATED: _refusal(401, "unauthenticated", **{"WWW-Authenticate": "Bearer"}),
    Outcome.FORBIDDEN: _refusal(403, "forbidden"),
    Outcome.TROUBLE: _refusal(503, "trouble"),
}
