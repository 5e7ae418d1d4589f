"""What travels in a task: which registered task to call, with what.

A body is a JSON object whose "v" names its version. Readers ignore fields that they do not know
and give those that are missing their defaults, so a field can be added without a new version; and
as a body begins with "{", another wrapping of it, such as a compressed one, can be told apart.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from adjourn.codec import Codec, from_json, to_json
from adjourn.errors import DecodeError, EncodeError

VERSION = 1
MAX_BODY = 1_000_000  # Cloud Tasks takes 1,048,569 bytes, and the headers count


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One call of a task, the same over all its attempts.

    Raises:
        EncodeError: a field is not what it has to be.
    """

    id: str
    task: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    enqueued_at: dt.datetime
    eta: dt.datetime | None = None
    max_retries: int | None = None

    def __post_init__(self) -> None:
        for name, is_right, wanted in (
            ("id", type(self.id) is str and self.id, "a str that is not empty"),
            ("task", type(self.task) is str and self.task, "a str that is not empty"),
            ("args", type(self.args) is tuple, "a tuple"),
            ("kwargs", _has_names(self.kwargs), "a mapping with str keys"),
            ("enqueued_at", _is_aware(self.enqueued_at), "an aware datetime"),
            ("eta", self.eta is None or _is_aware(self.eta), "None or an aware datetime"),
            ("max_retries", _is_budget(self.max_retries), "None or an int from 0"),
        ):
            if not is_right:
                raise EncodeError(f"{name} of an envelope has to be {wanted}")

    def encode(self, codec: Codec) -> bytes:
        """Return the body of the task.

        Raises:
            EncodeError: an argument cannot be carried, or all of it is too big for a task.
        """
        content = {
            "id": self.id,
            "task": self.task,
            "enqueued_at": self.enqueued_at,
            "eta": self.eta,
            "max_retries": self.max_retries,
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
        }
        encoded = {name: codec.encode(value, name) for name, value in content.items()}
        body = to_json({"v": VERSION, **encoded})
        if len(body) > MAX_BODY:
            raise EncodeError(
                f"the call of {self.task} takes {len(body):,} bytes and a task can carry"
                f" {MAX_BODY:,}; store the data and pass its key"
            )
        return body

    @classmethod
    def decode(cls, body: bytes, codec: Codec) -> "Envelope":
        """Return the envelope of which `encode` made this body, by this version or an older one.

        Raises:
            DecodeError: the body is not one that this version can read; the only error there is.
        """
        tree = from_json(body)
        if not isinstance(tree, dict) or "v" not in tree:
            raise DecodeError("the body is not an envelope: it has no version")
        if type(tree["v"]) is not int or tree["v"] != VERSION:
            raise DecodeError(
                f"the envelope is of version {tree['v']!r:.20} and this is adjourn's reader of"
                f" version {VERSION}; deploy the adjourn that wrote it, then replay the task"
            )
        names = [each.name for each in fields(cls) if each.name in tree]
        content = {name: codec.decode(tree[name]) for name in names}
        if type(content.get("args")) is list:
            content["args"] = tuple(content["args"])
        try:
            return cls(**content)
        except TypeError as error:
            raise DecodeError(f"the body is not an envelope: {error}") from error


def _has_names(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and all(type(name) is str for name in kwargs)


def _is_aware(moment: object) -> bool:
    return isinstance(moment, dt.datetime) and moment.utcoffset() is not None


def _is_budget(retries: object) -> bool:
    return retries is None or (type(retries) is int and retries >= 0)
