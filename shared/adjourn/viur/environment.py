"""What goes along with a call in ViUR's way: `conf.tasks_custom_environment_handler`."""

from __future__ import annotations

import abc
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from adjourn.serialization.context import Carrier
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
class ViurCarrier(Carrier):
    """Packs the context of a call with the application's handler, else with that of ViUR's conf."""

    def pack(self) -> Mapping[str, object]:
        """Return what a call that is made now carries."""
        return Carrier.pack(self._whole())

    def unpacked(self, packed: Mapping[str, object]) -> AbstractContextManager[object]:
        """Restore what a call carried for the time it runs."""
        return Carrier.unpacked(self._whole(), packed)

    def _whole(self) -> Carrier:
        conf = installed.configuration()
        handler = self.environment or getattr(conf, "tasks_custom_environment_handler", None)
        return replace(self, environment=_Restoring(handler) if handler else None)
