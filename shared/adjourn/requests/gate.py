"""The gate in front of each function: which callers are admitted, and how errors become outcomes.

The body of a request is read once its caller is admitted, within limits of size and time. Whatever
happens ends in one `Outcome`; `adjourn.requests.wsgi` maps it to an HTTP status.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from adjourn.errors import (
    BodyError,
    BrokenBodyError,
    ConflictError,
    EnqueueError,
    ForbiddenError,
    KeysUnavailableError,
    SlowBodyError,
    StoreError,
    TooLongBodyError,
    UnauthenticatedError,
)
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import bound, event, is_observed
from adjourn.ports import Adapters
from adjourn.requests.auth import CallerPolicy, app_engine_cron, app_engine_task, bearer_token
from adjourn.requests.slow_reads import slow_reads
from adjourn.settings import Platform, Settings

T = TypeVar("T")

Receiver = Callable[[Delivery], Outcome]

# Cloud Tasks itself accepts at most a megabyte (https://cloud.google.com/tasks/docs/quotas).
LONGEST_BODY = 1 << 20
_SECONDS = 10.0  # a megabyte from within Google's network takes milliseconds


@dataclass(kw_only=True, eq=False, repr=False)
class Gate:
    """Admits only the deliveries of accepted callers to a receiver."""

    adapters: Adapters
    settings: Settings

    def admit_tasks(self, own_url: str, receiver: Receiver) -> Receiver:
        """Return a receiver that admits the tasks of Cloud Tasks to the function at `own_url`."""
        return self._admit(own_url, receiver, _app_engine_task)

    def admit_ticks(self, own_url: str, receiver: Receiver) -> Receiver:
        """Return a receiver that admits Cloud Scheduler to the function at `own_url`."""
        return self._admit(own_url, receiver, _app_engine_cron, is_tick=True)

    def _admit(
        self,
        own_url: str,
        receiver: Receiver,
        check_app_engine: Callable[[Delivery], object],
        *,
        is_tick: bool = False,
    ) -> Receiver:
        if self.settings.platform == Platform.APP_ENGINE:
            receive = self._checked(check_app_engine, receiver, is_tick=is_tick)
            return lambda delivery: receive(delivery.as_app_engine_says())
        policy = CallerPolicy(
            audiences=self.settings.accepted_audiences(own_url),
            emails=self.settings.accepted_callers(),
        )
        verifier, clock = self.adapters.verifier, self.adapters.clock

        def check_token(delivery: Delivery) -> None:
            policy.check(verifier.verify(bearer_token(delivery.authorization)), clock.now())

        return self._checked(check_token, receiver, is_tick=is_tick)

    def _checked(
        self, check: Callable[[Delivery], object], receiver: Receiver, *, is_tick: bool
    ) -> Receiver:
        """Return a receiver that checks the caller first and turns errors into outcomes."""

        def receive(delivery: Delivery) -> Outcome:
            def work() -> Outcome:
                check(delivery)
                return receiver(_with_body(delivery))

            number = delivery.attempt.number
            with bound(queue=delivery.queue, delivery=delivery.task_name, attempt=number):
                if is_observed():
                    return self._observed(delivery, lambda: with_outcome(work), is_tick=is_tick)
                return with_outcome(work)

        return receive

    def _observed(
        self, delivery: Delivery, receive: Callable[[], Outcome], *, is_tick: bool
    ) -> Outcome:
        from adjourn.requests import observed_delivery as observed  # noqa: PLC0415 - for those with an SDK

        observe = observed.observed_tick if is_tick else observed.observed_task
        return observe(delivery, receive, self.adapters.clock, self.settings.telemetry_flush)


def _app_engine_task(delivery: Delivery) -> None:
    app_engine_task(delivery.app_engine.address, delivery.app_engine.queue)


def _app_engine_cron(delivery: Delivery) -> None:
    app_engine_cron(delivery.app_engine.address, is_cron=delivery.app_engine.is_cron)


def _with_body(delivery: Delivery) -> Delivery:
    if delivery.read_body is None:
        return delivery
    return Delivery(  # `_replace` takes four times as long
        delivery.authorization,
        delivery.read_body(),
        delivery.path,
        delivery.queue,
        delivery.task_name,
        delivery.attempt,
        delivery.scheduled,
        delivery.app_engine,
    )


def with_outcome(work: Callable[[], T]) -> T | Outcome:
    """Return the result of `work`, or the outcome of the exception that it raises."""
    try:
        return work()
    except UnauthenticatedError as error:
        return _refused(Outcome.UNAUTHENTICATED, error)
    except ForbiddenError as error:
        return _refused(Outcome.FORBIDDEN, error)
    except BodyError as error:
        return _unreadable(error)
    except (StoreError, ConflictError, EnqueueError, KeysUnavailableError) as error:
        event("service.unavailable", logging.WARNING, str(error), error=error)
        return Outcome.TROUBLE
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a fault of ours must not show to the caller
        event("adjourn.fault", logging.CRITICAL, "A fault in adjourn itself", error=error)
        return Outcome.TROUBLE


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    event("caller.refused", logging.WARNING, f"Refused a caller: {error}", reason=str(error))
    return outcome


def _unreadable(error: BodyError) -> Outcome:
    outcome, name, text = _BODIES.get(type(error), _BROKEN)
    event(name, logging.WARNING, f"Refused a body that {text}")
    return outcome


_BROKEN = (Outcome.BROKEN, "request.broken", "cannot be read")
_BODIES: Mapping[type[BodyError], tuple[Outcome, str, str]] = {
    TooLongBodyError: (
        Outcome.TOO_LONG,
        "request.too_long",
        f"has more than {LONGEST_BODY:,} bytes",
    ),
    SlowBodyError: (Outcome.SLOW, "request.slow", "did not arrive in time"),
}


class RequestBody:
    """The body of one request, in the place of `wsgi.input`.

    To whatever else reads it, it is empty: functions-framework reads the body of every request to
    its end before it answers, however long the sender takes.
    """

    def __init__(self, environ: Mapping[str, Any], seconds: float = _SECONDS) -> None:
        """Prepare to read the body of the request with this WSGI environment.

        Args:
            environ: See PEP 3333. gunicorn adds its socket.
            seconds: The time that the whole body may take.
        """
        self._stream = environ["wsgi.input"]
        self._length: str | None = environ.get("CONTENT_LENGTH") or None
        self._is_terminated = "wsgi.input_terminated" in environ
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self._seconds = seconds
        self.is_read = False

    def read(self, _size: int = -1) -> bytes:
        """Return nothing."""
        return b""

    readline = read

    def read_whole(self) -> bytes:
        """Return the body.

        Raises:
            TooLongBodyError: It has more than `LONGEST_BODY` bytes; no more of it was read.
            BrokenBodyError: It ended early, or its framing is wrong.
            SlowBodyError: It did not arrive within the time.
        """
        length = _length(self._length)
        if length is not None and length > LONGEST_BODY:
            raise TooLongBodyError
        if length is None and not self._is_terminated:
            length = 0  # a request without a body, for only the server could tell where it ends
        body = self._within_time(LONGEST_BODY + 1 if length is None else length)
        if len(body) > LONGEST_BODY:
            raise TooLongBodyError
        # gunicorn ends a body that breaks off as if it were whole.
        if length is not None and len(body) != length:
            raise BrokenBodyError
        self.is_read = True
        return body

    def _within_time(self, size: int) -> bytes:
        if self._socket is None or not size:
            return self._up_to(size)
        reads = slow_reads()
        reads.begin(self._socket, self._seconds)
        try:
            body = self._up_to(size)
        finally:
            is_over = reads.end(self._socket)
        if is_over:
            raise SlowBodyError
        return body

    def _up_to(self, size: int) -> bytes:
        pieces = []
        try:
            while size > 0 and (piece := self._stream.read(size)):
                pieces.append(piece)
                size -= len(piece)
        except Exception as error:  # each server raises its own errors for broken requests
            raise BrokenBodyError from error
        return b"".join(pieces)


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BrokenBodyError
    # Python refuses to parse thousands of digits.
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= len(str(LONGEST_BODY)) else LONGEST_BODY + 1
