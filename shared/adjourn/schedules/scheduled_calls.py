"""The calls that schedules make: a task, its arguments and options, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn.cron.periodic import check_options
from adjourn.errors import DeclarationError, DecodeError, EncodeError, UnknownNameError
from adjourn.ports import Sealer
from adjourn.registry import Registry
from adjourn.schedules.argument_types import check_types
from adjourn.serialization.budget import OF_TASK
from adjourn.serialization.codec import from_json, to_json
from adjourn.serialization.stored_seals import opened, sealed
from adjourn.tasks.arguments import check_arguments
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.methods import BoundTask
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task

# An entity may have 1,048,572 bytes (https://cloud.google.com/datastore/docs/concepts/limits).
_MOST_BYTES = 900_000
_OF_ONE_CALL = ("call_name", "eta", "transaction")


class ScheduledCall(NamedTuple):
    """What a schedule calls at each of its times."""

    task: Task[..., Any]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]


@dataclass(kw_only=True, eq=False, repr=False)
class ScheduledCalls:
    """Checks, encodes and decodes the calls of schedules.

    With a key they are sealed, each for its schedule: who can write to Datastore cannot forge one.
    """

    tasks: Registry[Task[..., Any]]
    enqueuer: Enqueuer

    @property
    def _sealer(self) -> Sealer | None:
        return self.enqueuer.adapters.sealer

    def encode(
        self, name: str, task: object, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> bytes:
        """Return what is stored of a call.

        Args:
            name: Name of the schedule.
            task: The task; its options are kept where they differ from those declared.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Raises:
            DeclarationError: It is no task of this application, or an option is of no use.
            EncodeError: The function does not accept the arguments, or they cannot be encoded.
        """
        if not isinstance(task, Task):
            raise DeclarationError(f"{task!r:.80} is no task; give what @app.deferred has made.")
        if isinstance(args, str | bytes) or not isinstance(args, Sequence):
            raise EncodeError(f"args={args!r:.80} must be a tuple or a list of arguments.")
        given = (task.receiver_argument(), *args) if isinstance(task, BoundTask) else tuple(args)
        options = self._own_options(task)
        accepted = check_arguments(task.name, task.function, given, kwargs)
        check_types(task.name, task.function, accepted)
        codec = self.enqueuer.codec
        parts = {"args": list(given), "kwargs": dict(kwargs), "options": options}
        body = to_json({"task": task.name, **{k: codec.encode(v, k) for k, v in parts.items()}})
        if len(body) > _MOST_BYTES or not OF_TASK.holds(body):
            raise EncodeError(
                f"the call of {task.name} takes {len(body):,} bytes and may take {_MOST_BYTES:,};"
                " store the data and pass its key"
            )
        return sealed(self._sealer, body, _place(name))

    def _own_options(self, task: Task[..., Any]) -> Mapping[str, object]:
        """Return the options of a task that differ from those with which it is declared."""
        try:
            declared = self.tasks.get(task.name).defaults
        except UnknownNameError:
            raise DeclarationError(f"{task.name} is a task of another application.") from None
        given = task.defaults._asdict()
        for each in _OF_ONE_CALL:
            if given[each] is not None:
                raise DeclarationError(f"{each} is an option of one call; a schedule makes many.")
        check_options(given)
        task.defaults.check_timeout(task.name, self.enqueuer.settings.function_timeout)
        return {k: v for k, v in given.items() if v != getattr(declared, k)}

    def is_same(self, name: str, first: bytes, second: bytes) -> bool:
        """Whether two stored calls are the same; sealed ones differ each time."""
        try:
            return self._opened(name, first) == self._opened(name, second)
        except DecodeError:
            return False

    def decode(self, name: str, stored: bytes) -> ScheduledCall:
        """Return the call of a schedule.

        Raises:
            DecodeError: It cannot be read by this revision of the application, or was forged.
            UnknownNameError: Its task is not declared here.
            DeclarationError: One of its options is unknown here.
        """
        tree = from_json(self._opened(name, stored))
        if not isinstance(tree, dict) or not {"task", "args", "kwargs", "options"} <= tree.keys():
            raise DecodeError(f"the call of the schedule {name} is not one that adjourn wrote")
        codec = self.enqueuer.codec
        args, kwargs, options = (codec.decode(tree[k]) for k in ("args", "kwargs", "options"))
        task = self.tasks.get(str(tree["task"]))
        if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(options, dict)):
            raise DecodeError(f"the call of the schedule {name} is not one that adjourn wrote")
        if options:
            task = task.with_defaults(_changed(task.defaults, options))
        task.defaults.check_timeout(task.name, self.enqueuer.settings.function_timeout)
        return ScheduledCall(task, tuple(args), kwargs)

    def _opened(self, name: str, stored: bytes) -> bytes:
        what = f"the call of the schedule {name}"
        return opened(self._sealer, stored, _place(name), what, "; put it again")


def _changed(defaults: Options, options: Mapping[str, Any]) -> Options:
    return defaults.changed(**options)


def _place(name: str) -> str:
    return f"schedule/{name}"  # no task has such a name
