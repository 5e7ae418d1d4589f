"""The context of a call: user, language and trace, passed on from its caller to where it runs.

It holds identifiers and what the application adds, never a user's data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from adjourn.concurrency import Scoped
from adjourn.errors import EncodeError
from adjourn.log import is_observed

USER = "user"
LANGUAGE = "language"
TRACEPARENT = "traceparent"
ENVIRONMENT = "environment"

_NOTHING: Mapping[str, object] = {}
_propagated: ContextVar[Mapping[str, object]] = ContextVar("adjourn_context")


class CustomEnvironmentHandler(Protocol):
    """Passes further context of an application on to its calls."""

    def serialize(self) -> object:
        """Return the context for a call made now: any value that an argument may have."""

    def restore(self, value: Any) -> AbstractContextManager[object]:
        """Return a context manager around the call, from the value that `serialize` returned."""


@dataclass(kw_only=True, eq=False, repr=False)
class ContextPropagator:
    """Captures the context where a call is made and restores it where the call runs.

    Calls made inside a task inherit the context of the task, except for what the application sets.
    """

    user: Callable[[], str | None] | None = None
    language: Callable[[], str | None] | None = None
    environment: CustomEnvironmentHandler | None = None

    def capture(self) -> Mapping[str, object]:
        """Return the context for a call made now.

        Raises:
            EncodeError: User or language is neither a str nor None.
        """
        context = dict(propagated())
        if is_observed():
            from adjourn.telemetry.trace_context import traceparent_in  # noqa: PLC0415 - for those with an SDK

            context |= {TRACEPARENT: here} if (here := traceparent_in()) else {}
        for name, source in ((USER, self.user), (LANGUAGE, self.language)):
            if source is not None and (value := _text(name, source())) is not None:
                context[name] = value
        if self.environment is not None:
            context[ENVIRONMENT] = self.environment.serialize()
        return context

    def restored(self, context: Mapping[str, object]) -> AbstractContextManager[object]:
        """Return a context manager in which the context of a call is the present one."""
        if self.environment is None or ENVIRONMENT not in context:
            return propagating(context)
        return _with_environment(context, self.environment)


def propagated() -> Mapping[str, object]:
    """Return the context of the running task or request."""
    return _propagated.get(_NOTHING)


def propagating(context: Mapping[str, object]) -> Scoped[Mapping[str, object]]:
    """Return a context manager in which calls inherit this context."""
    return Scoped(_propagated, context)


@contextmanager
def _with_environment(
    context: Mapping[str, object], environment: CustomEnvironmentHandler
) -> Iterator[None]:
    with propagating(context), environment.restore(context[ENVIRONMENT]):
        yield


def text(context: Mapping[str, object], name: str) -> str | None:
    """Return an identifier in a context, None if it is missing or no str."""
    value = context.get(name)
    return value if isinstance(value, str) else None


def _text(name: str, value: object) -> str | None:
    if value is not None and type(value) is not str:
        raise EncodeError(
            f"the {name} in the context of a call must be a str or None, not {value!r}"
        )
    return value
