"""What goes along with a call from where it is made to where it runs: who, in which language, why.

Identifiers only: what the application chose to carry, never a user's data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from adjourn.concurrency import Scoped
from adjourn.errors import EncodeError

USER = "user"
LANGUAGE = "language"
TRACEPARENT = "traceparent"
ENVIRONMENT = "environment"

_NOTHING: Mapping[str, object] = {}
_carried: ContextVar[Mapping[str, object]] = ContextVar("adjourn_carried")


class CustomEnvironmentHandler(Protocol):
    """Carries what else an application needs around its calls."""

    def serialize(self) -> object:
        """Return what a call that is made now shall carry: anything that an argument may be."""

    def restore(self, value: Any) -> AbstractContextManager[object]:
        """Return a context in which the call runs, made from what `serialize` had returned."""


@dataclass(kw_only=True, eq=False, repr=False)
class Carrier:
    """Packs the context where a call is made and unpacks it where it runs.

    Inside a task its own context is carried on, unless the application says otherwise.
    """

    user: Callable[[], str | None] | None = None
    language: Callable[[], str | None] | None = None
    environment: CustomEnvironmentHandler | None = None

    def pack(self) -> Mapping[str, object]:
        """Return what a call that is made now carries.

        Raises:
            EncodeError: User or language is neither a str nor None.
        """
        packed = dict(carried())
        for name, source in ((USER, self.user), (LANGUAGE, self.language)):
            if source is not None and (value := _text(name, source())) is not None:
                packed[name] = value
        if self.environment is not None:
            packed[ENVIRONMENT] = self.environment.serialize()
        return packed

    def unpacked(self, packed: Mapping[str, object]) -> AbstractContextManager[object]:
        """Restore what a call carried for the time it runs."""
        if self.environment is None or ENVIRONMENT not in packed:
            return carrying(packed)
        return _within(packed, self.environment)


def carried() -> Mapping[str, object]:
    """Return what the running task, or the request, brought along."""
    return _carried.get(_NOTHING)


def carrying(packed: Mapping[str, object]) -> Scoped[Mapping[str, object]]:
    """Let calls that are made meanwhile carry this along."""
    return Scoped(_carried, packed)


@contextmanager
def _within(packed: Mapping[str, object], environment: CustomEnvironmentHandler) -> Iterator[None]:
    with carrying(packed), environment.restore(packed[ENVIRONMENT]):
        yield


def text(packed: Mapping[str, object], name: str) -> str | None:
    """Return an identifier that a call carried."""
    value = packed.get(name)
    return value if isinstance(value, str) else None


def _text(name: str, value: object) -> str | None:
    if value is not None and type(value) is not str:
        raise EncodeError(f"the {name} that a call carries has to be a str or None, not {value!r}")
    return value
