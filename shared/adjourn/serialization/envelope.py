"""The body of a task: which registered task to call, with which arguments and options.

A body is a JSON object whose "v" is its version. It is compressed if it is longer than a billing
chunk. Readers ignore unknown fields and give missing ones their defaults, so a field can be added
without a new version. If earlier versions must not run a call that has it, it gets a prefix. A body
of version 2 is a reference: its arguments are in Datastore (see `adjourn.state.large_payloads`),
and it says where.
"""

import datetime as dt
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from adjourn.errors import DecodeError, EncodeError
from adjourn.names import CallIdentity, numbered
from adjourn.serialization.budget import OF_PAYLOAD, OF_TASK, ZLIB, Budget
from adjourn.serialization.codec import Codec, from_json, to_json
from adjourn.serialization.payload_reference import MAX_BODY, MAX_CALL, PayloadReference
from adjourn.settings import is_queue

VERSION = 1
REFERENCE_VERSION = 2
_FIRST_VERSION = b'{"v":1,'  # it has no field that is read as it stands in the JSON

# Cloud Tasks bills each further 32 KB as one more operation (https://cloud.google.com/tasks/pricing)
_CHUNK = 32 * 1024
# Tasks and entities are named after calls, and Datastore reserves names like __this__.
_ID = re.compile("(?!__)[A-Za-z0-9_-]{1,500}")
_LONGEST_NAME = 500
# What a call depends on and earlier versions ignore. In the body, the name of its task then has a
# prefix, so that they do not know the task, and leave the call to the next revision.
_PREFIXES = {"batch": "batch:", "window": "window:", "keep_result": "result:", "flow": "flow:"}
# A body within these can be computed with and enqueued again; options are within them, too.
_LARGEST_COUNT, _MOST_READ = 2**63 - 1, 2**62
_COUNTS = ("resumed", "attempts", "executions")
_TIMES = ("eta", "expires_at", "starts_at", "hops_at", "waiting_since")
_WAITS = ("min_backoff", "max_backoff", "keep_result")
_INSTANT = "an aware datetime of the years 2 to 9000"
_YEARS = (2, 9000)
_LONGEST_WAIT = dt.timedelta(days=36_525)
_TIMEOUTS = (dt.timedelta(seconds=15), dt.timedelta(minutes=30))
_NOTHING: Mapping[str, object] = MappingProxyType({})


class Envelope(NamedTuple):
    """One call of a task, the same over all its attempts.

    The names of the fields are the keys of the body.

    Attributes:
        id: The call's identity, chosen when it is enqueued.
        task: Registered name of the task.
        enqueued_at: When the call was made.
        queue: Short name of the queue, for enqueuing the call again.
        eta: Earliest start; None for at once.
        expires_at: From then on the call is dropped without running.
        timeout: How long an attempt may take; None for Cloud Tasks' own 10 minutes.
        max_retries: Failed executions that are retried; None leaves it to the queue.
        min_backoff: Wait before the first retry; None leaves it to the queue.
        max_backoff: Longest wait between retries; None leaves it to the queue.
        once: Whether the call is claimed before it runs, so that a duplicate has no effect.
        no_retry: Whether a call must never be begun a second time.
        marker: Name of the marker of the transaction in which the call was made; empty for none.
        context: User, language and the like; see `adjourn.serialization.context`.
        resumed: How often the call was enqueued again as a new task.
        attempts: Attempts that it had as earlier tasks.
        executions: Failed executions that it had as earlier tasks.
        unique: Name under which a unique call is recorded; empty for any other.
        user_start: Name of the record that a user was checked who started it; empty for none.
        schedule: Name of the schedule whose run it is; empty for none.
        window: Of a task that waits for the end of a window: the window, in plain values of JSON;
            see `adjourn.debounce.window`. Empty for a call that runs.
        stowed: Where its arguments are stored; None if the body itself holds them.
        starts_at: When it goes on, if it was enqueued again or its start lies further ahead than
            that of a task may.
        hops_at: When its task arrives, if that is earlier and it must be enqueued once more.
        waiting_since: When it was first delivered before its transaction was committed.
        flow: Its keys, one for each flow of its task.
        batch: Its place in a batch; see `adjourn.batches.place`. Empty for none.
        keep_result: How long what it returns is kept; None for not at all.
        newer: The fields that a newer version of adjourn has added, as JSON; empty for none. They
            are kept when the call is enqueued again.
    """

    id: str
    task: str
    enqueued_at: dt.datetime
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = _NOTHING
    queue: str = ""
    eta: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    timeout: dt.timedelta | None = None
    max_retries: int | None = None
    min_backoff: dt.timedelta | None = None
    max_backoff: dt.timedelta | None = None
    once: bool = False
    no_retry: bool = False
    marker: str = ""
    context: Mapping[str, object] = _NOTHING
    resumed: int = 0
    attempts: int = 0
    executions: int = 0
    unique: str = ""
    user_start: str = ""
    schedule: str = ""
    window: Mapping[str, object] = _NOTHING
    stowed: PayloadReference | None = None
    starts_at: dt.datetime | None = None
    hops_at: dt.datetime | None = None
    waiting_since: dt.datetime | None = None
    flow: tuple[str, ...] = ()
    batch: str = ""
    keep_result: dt.timedelta | None = None
    newer: bytes = b""

    @property
    def identity(self) -> CallIdentity:
        """Which call it is."""
        return CallIdentity.of(self.id, self.task, self.enqueued_at)

    @property
    def resumed_name(self) -> str:
        """Short name of its task, if it was enqueued again; a stranger cannot take it before."""
        return f"{numbered(self.identity.fingerprint, self.resumed)}-resumed"

    def encode(self, codec: Codec) -> bytes:
        """Return the body; a reference without arguments if these are stored in Datastore.

        Raises:
            EncodeError: An argument cannot be encoded, the call is too large, or a field has a
                wrong value.
        """
        return self.encode_within(codec)[0]

    def encode_within(self, codec: Codec) -> tuple[bytes, bool]:
        """Return the body, and whether a task may hold it; errors are those of `encode`."""
        _check(self._asdict())
        body = codec.dumps_fields(self._content())
        if self.newer:
            body = body[:-1] + b"," + self.newer[1:]
        self._check_size(len(body), OF_PAYLOAD.size)
        if not OF_PAYLOAD.holds(body):
            raise EncodeError(
                f"the call of {self.task} has more than {OF_PAYLOAD.values:,} values;"
                " store the data and pass its key"
            )
        is_small = OF_TASK.holds(body)
        if len(body) > _CHUNK:
            body = min(body, zlib.compress(body), key=len)
        self._check_size(len(body), MAX_CALL)
        return body, is_small and len(body) <= MAX_BODY

    @classmethod
    def decode(cls, body: bytes, codec: Codec, budget: Budget = OF_TASK) -> "Envelope":
        """Return the envelope in a body that this version of adjourn or an older one wrote.

        Args:
            body: The body.
            codec: Decodes its arguments.
            budget: What it may hold.

        Raises:
            DecodeError: This version cannot read the body; no other error is raised.
        """
        is_small = len(body) <= budget.values and not body.startswith(ZLIB)
        json = body if is_small else budget.inflated(body)
        is_first = json.startswith(_FIRST_VERSION)
        tree, decode = codec.read(json) if is_first else (from_json(json), codec.decode)
        if not isinstance(tree, dict) or "v" not in tree:
            raise DecodeError("the body is not an envelope: it has no version")
        if type(tree["v"]) is not int or not VERSION <= tree["v"] <= REFERENCE_VERSION:
            raise DecodeError(
                f"the envelope has version {tree['v']!r:.20} and this adjourn reads up to version"
                f" {REFERENCE_VERSION}; deploy the adjourn that wrote it, then replay the task"
            )
        reference = tree.pop("stowed", None)
        content = {name: decode(part) for name, part in tree.items() if name in _READ}
        if len(content) < len(tree) - 1:
            content["newer"] = _newer(json)
        if (prefix := _prefix(content)) and type(content.get("task")) is str:
            content["task"] = content["task"].removeprefix(prefix)
        if type(content.get("args")) is list:
            content["args"] = tuple(content["args"])
        try:
            _check(content)
            # What is counted on from there has to fit into an entity.
            if max(content.get(name, 0) for name in _COUNTS) > _MOST_READ:
                raise DecodeError("the envelope counts more than a call can have come to")
            stowed = PayloadReference.read(reference) if tree["v"] == REFERENCE_VERSION else None
            return cls(**content, stowed=stowed)
        except TypeError as error:
            raise DecodeError(f"the body is not an envelope: {error}") from error

    def _content(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, and those that are always there."""
        fields = self._asdict()
        del fields["newer"]
        content: dict[str, Any] = {"v": REFERENCE_VERSION if self.stowed else VERSION}
        content |= {"id": self.id, "task": f"{_prefix(fields)}{self.task}"}
        content |= {"args": list(self.args), "kwargs": dict(self.kwargs)}
        content |= {
            name: dict(value) if name in {"context", "window"} else value
            for name, value in fields.items()
            if name not in content and value != self._field_defaults.get(name)
        }
        if self.stowed:
            content["stowed"] = {k: v for k, v in self.stowed._asdict().items() if v != ""}
            del content["args"], content["kwargs"]
        return content

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise EncodeError(
                f"the call of {self.task} takes {size:,} bytes and may take {limit:,};"
                " store the data and pass its key"
            )


def _prefix(content: Mapping[str, object]) -> str:
    """Return what stands before the name of a task with these fields."""
    return next((prefix for name, prefix in _PREFIXES.items() if content.get(name)), "")


def _newer(body: bytes) -> bytes:
    """Return the fields in a body that this version does not know, as a JSON object."""
    tree: Any = from_json(body)
    known = {"v", "stowed", *_READ}
    return to_json({name: part for name, part in tree.items() if name not in known})


def _check(content: Mapping[str, object]) -> None:
    for name, value in content.items():
        is_right, wanted = _CHECKS[name]
        if not is_right(value):
            raise EncodeError(f"{name} of an envelope must be {wanted}")


def _is_id(value: object) -> bool:
    return type(value) is str and _ID.fullmatch(value) is not None


def _is_name(value: object) -> bool:
    try:  # it may be stored in a dead letter, and Datastore indexes at most 1,500 bytes
        return type(value) is str and 0 < len(value.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _is_whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_count(value: object) -> bool:
    return _is_whole(value) and value <= _LARGEST_COUNT  # type: ignore[operator]  # it is an int


def _is_instant(value: object) -> bool:
    return (
        isinstance(value, dt.datetime)
        and value.utcoffset() is not None
        and _YEARS[0] <= value.year <= _YEARS[1]
    )


def _is_wait(value: object) -> bool:
    return isinstance(value, dt.timedelta) and dt.timedelta() <= value <= _LONGEST_WAIT


def _is_timeout(value: object) -> bool:
    return isinstance(value, dt.timedelta) and _TIMEOUTS[0] <= value <= _TIMEOUTS[1]


def _has_names(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and {str}.issuperset(map(type, kwargs))


def _is(kind: type) -> Callable[[object], bool]:
    return lambda value: type(value) is kind


def _or(default: object, is_right: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: value == default or is_right(value)


_RULES: Sequence[tuple[Sequence[str], Callable[[Any], bool], str]] = (
    (("id",), _is_id, "1 to 500 letters, digits, hyphens or underscores"),
    (("task",), _is_name, "a str of 1 to 500 bytes"),
    (("schedule",), _or("", _is_name), "a str of up to 500 bytes"),
    (("queue",), _or("", is_queue), "the short name of a queue, or ''"),
    (("marker", "unique", "user_start", "batch"), _or("", _is_id), "an id, or ''"),
    (("args", "flow"), _is(tuple), "a tuple"),
    (("kwargs", "context", "window"), _has_names, "a mapping with str keys"),
    (("enqueued_at",), _is_instant, _INSTANT),
    (_TIMES, _or(None, _is_instant), f"None or {_INSTANT}"),
    (("timeout",), _or(None, _is_timeout), "None or a timedelta of 15 seconds to 30 minutes"),
    (_WAITS, _or(None, _is_wait), "None or a timedelta of up to a hundred years"),
    (("max_retries",), _or(None, _is_whole), "None or an int from 0"),
    (("once", "no_retry"), _is(bool), "a bool"),
    (("newer",), _is(bytes), "bytes"),
    (_COUNTS, _is_count, "an int from 0 of at most 63 bits"),
    (("stowed",), _or(None, _is(PayloadReference)), "None or a reference"),
)
_CHECKS = {name: (is_right, wanted) for names, is_right, wanted in _RULES for name in names}
_READ = _CHECKS.keys() - {"newer", "stowed"}
