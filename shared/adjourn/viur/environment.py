"""What goes along with a call in ViUR's way: `conf.tasks_custom_environment_handler`."""

from __future__ import annotations

import abc
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from adjourn.serialization.context import LANGUAGE, ContextPropagator, text
from adjourn.viur import installed

CUSTOM_OBJ = TypeVar("CUSTOM_OBJ")


class CustomEnvironmentHandler(abc.ABC):
    """Carries what else an application needs around its calls.

    ViUR's own `conf.tasks_custom_environment_handler` takes it, too.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        theirs = getattr(sys.modules.get("viur.core.tasks"), "CustomEnvironmentHandler", None)
        if theirs is not None:
            theirs.register(cls)

    @abc.abstractmethod
    def serialize(self) -> Any:
        """Return what a call that is made now shall carry: anything that an argument may be."""

    @abc.abstractmethod
    def restore(self, obj: Any) -> Any:
        """Set up the environment of a call that runs, from what `serialize` had returned.

        A context manager that is returned is entered around the call.
        """


@dataclass(frozen=True, eq=False)
class _Restoring:
    """A handler whose `restore` may return nothing, as ViUR's do."""

    handler: Any

    def serialize(self) -> object:
        """Return what a call carries."""
        return self.handler.serialize()

    def restore(self, value: Any) -> AbstractContextManager[object]:
        """Restore, and return what is to be entered."""
        context = self.handler.restore(value)
        return context if isinstance(context, AbstractContextManager) else nullcontext()


@dataclass(kw_only=True, eq=False, repr=False)
class ViurPropagator(ContextPropagator):
    """Packs the context of a call in ViUR's way, where the application says nothing else.

    The handler is that of ViUR's `conf`. The user is the text of the user's key, and the language
    is ViUR's current one, which is set again where the call runs.
    """

    def capture(self) -> Mapping[str, object]:
        """Return the context for a call made now."""
        return ContextPropagator.capture(self._whole())

    def restored(self, context: Mapping[str, object]) -> AbstractContextManager[object]:
        """Return a context manager in which the context of a call is the present one."""
        return _within(ContextPropagator.restored(self._whole(), context), text(context, LANGUAGE))

    def _whole(self) -> ContextPropagator:
        conf = installed.configuration()
        handler = self.environment or getattr(conf, "tasks_custom_environment_handler", None)
        return replace(
            self,
            environment=_Restoring(handler) if handler else None,
            user=self.user or _current_user,
            language=self.language or _current_language,
        )


@contextmanager
def _within(context: AbstractContextManager[object], language: str | None) -> Iterator[None]:
    """Enter a context, with ViUR's current language set to that of the call."""
    current = installed.current()
    if current is None or not language:
        with context:
            yield
        return
    token = current.language.set(language)
    try:
        with context:
            yield
    finally:
        current.language.reset(token)


def _current_user() -> str | None:
    current = installed.current()
    user = None if current is None else current.user.get()
    key = user["key"] if user else None
    return None if key is None else str(key)


def _current_language() -> str | None:
    current = installed.current()
    language = None if current is None else current.language.get()
    return language if isinstance(language, str) else None
