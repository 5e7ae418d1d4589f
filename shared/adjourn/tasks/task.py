"""Declared functions that can run later."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    overload,
)

from adjourn.coroutines import each_off_loop, off_loop
from adjourn.errors import DeclarationError
from adjourn.tasks.function_like import FunctionLike
from adjourn.tasks.options import CallOptions, Options

if TYPE_CHECKING:
    from adjourn.tasks.handle import Enqueued, TaskHandle

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T", bound="Task[..., Any]")


class EnqueuesCalls(Protocol):
    """What a task needs to enqueue its calls: `adjourn.tasks.enqueue.Enqueuer`."""

    def enqueue(
        self, task: Task[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> TaskHandle:
        """Enqueue one call."""

    def imap(self, task: Task[..., Any], calls: Iterable[tuple[object, ...]]) -> Iterator[Enqueued]:
        """Enqueue one call for each tuple of positional arguments."""

    def in_transaction(self, task: T) -> T:
        """Return a task whose calls depend on the transaction that is open here, if one is."""


class Task(FunctionLike, Generic[P, R]):
    """A function that was declared with `@app.deferred`; calling it enqueues a call.

    Attributes:
        name: Registered name.
        function: The function.
        defaults: The options of its calls.
        on_dead: Called with the `DeadLetter` of each call that is given up.
    """

    # No dataclass: `dataclasses.asdict` would take apart a task that is a field of another one.
    __slots__ = ("_enqueuer", "defaults", "function", "name", "on_dead")

    name: str
    function: Callable[P, R]
    defaults: Options
    on_dead: Callable[[Any], object] | None
    _enqueuer: Callable[[], EnqueuesCalls]

    def __init__(
        self,
        *,
        name: str,
        function: Callable[P, R],
        defaults: Options,
        enqueuer: Callable[[], EnqueuesCalls],
        on_dead: Callable[[Any], object] | None = None,
    ) -> None:
        self._set(
            name=name, function=function, defaults=defaults, _enqueuer=enqueuer, on_dead=on_dead
        )

    # Type checkers do not distinguish methods from class methods, so only access on an instance
    # drops the first parameter.
    @overload
    def __get__(self, instance: None, owner: type, /) -> Task[..., R]: ...
    @overload
    def __get__(
        self: Task[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> Task[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Task[..., Any]:
        return self  # `adjourn.tasks.methods.Method` overrides this

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function with these arguments; see `defer`."""
        return self._enqueuer().enqueue(self, args, kwargs)

    def defer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function with these arguments.

        Raises:
            EncodeError: An argument cannot be encoded, or the function does not accept it; the
                message names it.
            EnqueueError: Cloud Tasks did not accept the task.
        """
        return self._enqueuer().enqueue(self, args, kwargs)

    async def adefer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the function without holding up the event loop; see `defer`.

        A thread does it. If the caller is cancelled meanwhile, the call may be enqueued.
        """
        task = self._enqueuer().in_transaction(self)
        return await off_loop(partial(task.defer, *args, **kwargs))

    @overload
    def map(self: Callable[Concatenate[A, Q], Any], first: Iterable[A], /) -> list[Enqueued]: ...
    @overload
    def map(
        self: Callable[Concatenate[A, B, Q], Any], first: Iterable[A], second: Iterable[B], /
    ) -> list[Enqueued]: ...
    @overload
    def map(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *others: Iterable[Any],
    ) -> list[Enqueued]: ...
    def map(self, first: Iterable[Any], /, *others: Iterable[Any]) -> list[Enqueued]:
        """Enqueue a call for each item, in batches, and return when all are enqueued.

        Each iterable supplies one positional argument, as with Python's own `map`.

        Here the option `call_name` names the batch, and each task is named after the batch and its
        index in it. Enqueuing the same batch again adds only the calls that are missing.

        Returns:
            For each item, in order: a handle, or the error because of which it was not enqueued.

        Raises:
            Exception: What an iterable raised, after the calls of all earlier items were enqueued.
        """
        return list(self.imap(first, *others))

    @overload
    def imap(
        self: Callable[Concatenate[A, Q], Any], first: Iterable[A], /
    ) -> Iterator[Enqueued]: ...
    @overload
    def imap(
        self: Callable[Concatenate[A, B, Q], Any], first: Iterable[A], second: Iterable[B], /
    ) -> Iterator[Enqueued]: ...
    @overload
    def imap(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *others: Iterable[Any],
    ) -> Iterator[Enqueued]: ...
    def imap(self, first: Iterable[Any], /, *others: Iterable[Any]) -> Iterator[Enqueued]:
        """Enqueue a call for each item, in batches, while the results are consumed; see `map`.

        The iterables are read only slightly ahead of the results, so they may be endless. Calls are
        enqueued only as far as the results are consumed: without a consumer, none is.
        """
        return self._enqueuer().imap(self, zipped(first, others))

    def amap(self, first: Iterable[Any], /, *others: Iterable[Any]) -> AsyncIterator[Enqueued]:
        """Enqueue a call for each item without holding up the event loop; see `imap`.

        The iterables are plain ones, read in threads. Close what is returned if you leave it early.
        If the caller is cancelled, the calls that are on their way are still enqueued.
        """
        task = self._enqueuer().in_transaction(self)
        return each_off_loop(partial(task.imap, first, *others))

    def call_local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now; of one that is async, return the coroutine."""
        return self.function(*args, **kwargs)

    def options(self, *unnamed: Never, **changes: Unpack[CallOptions]) -> Task[P, R]:
        """Return a copy of this task with some options changed.

        Raises:
            DeclarationError: An option is unknown, out of range or contradicts another.
        """
        if unnamed:
            raise DeclarationError(
                f"Options have names: write {self.__name__}.options(queue={unnamed[0]!r:.80})."
            )
        if "flow" in changes:
            raise DeclarationError(
                "flow is an option of the declaration: write @app.deferred(flow=...); a call may"
                " have another flow_key."
            )
        return self.with_defaults(self.defaults.changed(**changes))

    def with_defaults(self, defaults: Options) -> Self:
        """Return a copy of this task with these options."""
        return self.copied(defaults=defaults)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Name the task where its module has it, for pickle, as a function does."""
        found: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            found = getattr(found, name, None)
        if found is not self and isinstance(found, Task) and found.function is self.function:
            return with_defaults, (found, self.defaults)
        return self.__qualname__


def zipped(first: Iterable[Any], others: Sequence[Iterable[Any]]) -> Iterator[tuple[object, ...]]:
    """Yield the positional arguments of each call of `Task.map`.

    Raises:
        DeclarationError: A text was given, of which each letter would be an item, or an
            asynchronous iterable that is no other one.
    """
    for each in (first, *others):
        if isinstance(each, str | bytes):
            raise DeclarationError(f"map needs items: write map([{each!r:.80}]).")
        # A query set of Django can be read both ways.
        if hasattr(each, "__aiter__") and not hasattr(each, "__iter__"):
            raise DeclarationError(
                "map and amap read no asynchronous iterable: collect its items in a list, [item"
                " async for item in items], or write await task.adefer(item) for each."
            )
    return zip(first, *others, strict=False)


def with_defaults(task: Task[P, R], defaults: Options) -> Task[P, R]:
    """Return a copy of a task with these options; pickled copies are made by it."""
    return task.with_defaults(defaults)
