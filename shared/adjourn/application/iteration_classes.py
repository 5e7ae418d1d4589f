"""Declare iterations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from adjourn.application.automatic import AutomaticTasks
from adjourn.application.importing import unless_importing
from adjourn.errors import DeclarationError
from adjourn.names import plain_text
from adjourn.registry import default_name

if TYPE_CHECKING:
    from adjourn.iteration.control import Runs
    from adjourn.iteration.query_iter import QueryIter

C = TypeVar("C", bound="type[QueryIter[Any]]")


class IterationClasses(AutomaticTasks):
    """The decorator for iterations, and their runs; a part of `adjourn.App`."""

    @overload
    def query_iter(self, cls: C, /) -> C: ...
    @overload
    def query_iter(
        self, /, *, name: str | None = None, aliases: Sequence[str] = ()
    ) -> Callable[[C], C]: ...
    def query_iter(
        self, cls: C | None = None, /, *, name: str | None = None, aliases: Sequence[str] = ()
    ) -> C | Callable[[C], C]:
        """Register a `QueryIter` class, so that its runs can be started and resumed.

        The first one also declares a periodic function with the cron name "adjourn", which resumes
        runs whose tasks were lost.

        Args:
            cls: The class, when used without parentheses.
            name: The stable name in the runs; `module.qualname` if None.
            aliases: Former names, which runs may still carry.

        Raises:
            DeclarationError: The class is wrong or its name is taken.
        """

        def registered(cls: C) -> C:
            _check_kind(cls)
            cls.check()
            if not len(self._declared.iterations):
                self._look_after_runs()
            known_as = plain_text(name) or default_name(cls)
            self._declared.iterations.add(known_as, cls, aliases)
            cls.bind(known_as, lambda: unless_importing(self.wiring).starter.start)
            return cls

        return registered if cls is None else registered(cls)

    def _look_after_runs(self) -> None:
        from adjourn.iteration import revive  # noqa: PLC0415 - for those who iterate

        def look_after_runs() -> None:
            self.wiring().reviver.revive()

        declare = self.periodic(
            interval=revive.INTERVAL, cron_name=revive.CRON_NAME, name=revive.NAME, max_retries=1
        )
        declare(look_after_runs)

    def iterations(self) -> Sequence[type[QueryIter[Any]]]:
        """Return the classes that are registered with `query_iter`."""
        return list(self._declared.iterations)

    def runs(self) -> Runs:
        """Return the runs of this deployment's iterations, to find, watch and control them.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        return self.wiring().runs


def _check_kind(cls: object) -> None:
    from adjourn.iteration.query_iter import QueryIter  # noqa: PLC0415 - for those who declare one

    if isinstance(cls, type) and issubclass(cls, QueryIter):
        return
    names = f" Names are given by name: write @app.query_iter(name={cls!r})."
    hint = names if isinstance(cls, str) else ""
    raise DeclarationError(f"{cls!r} is not a subclass of adjourn.QueryIter.{hint}")
