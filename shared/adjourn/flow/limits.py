"""Flows as they are declared: how many calls with the same key may run, and what their key is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import BoundArguments, signature
from typing import Any

from adjourn.errors import DeclarationError, EncodeError
from adjourn.flow.rates import rate_of
from adjourn.names import digest_of
from adjourn.serialization.canonical import canonical
from adjourn.serialization.codec import Codec

# The name of the internal task that looks after calls that wait.
GUARD = "adjourn.flow"
_LONGEST_KEY = 200
_LONGEST_NAME = 400


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A limit for calls with the same key, over all instances of the deployment.

    Calls above it wait in the order in which they were first delivered.

    Args:
        key: Name of the argument by which calls are told apart, or a function that is called with
            the arguments of the call and returns what tells them apart. None for one limit over
            all calls.
        concurrency: How many calls with the same key may run at the same time.
        rate: How many may begin in a second, minute, hour or day, such as "10/s" or "600/m".
        burst: How many may begin at once when none has begun for long; as many as in the text of
            the rate if None. In no window of W seconds begin more than burst + rate * W.
        name: Name of the limit, which stays when the task is renamed; tasks that name the same
            share it. The name of the task if empty.

    Raises:
        DeclarationError: An argument is wrong, or nothing is limited.
    """

    key: str | Callable[..., object] | None = None
    concurrency: int | None = None
    rate: str = ""
    burst: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        if not _is_key(self.key):
            raise DeclarationError(
                f"Flow(key={self.key!r:.80}) must be the name of an argument or a function;"
                " leave it out for one limit over all calls."
            )
        if self.concurrency is None and not self.rate:
            raise DeclarationError(
                'A Flow needs a limit: write Flow(concurrency=2) or Flow(rate="10/s").'
            )
        check_limits(self.concurrency, self.rate, self.burst)
        if not _is_name(self.name):
            raise DeclarationError(
                f"Flow(name={self.name!r:.80}) must be a str of up to 400 letters."
            )

    @property
    def limits(self) -> tuple[object, ...]:
        """What it allows."""
        return (self.concurrency, self.rate, self.burst)

    def key_of(self, task: str, arguments: BoundArguments, codec: Codec) -> str:
        """Return the key of a call as text.

        Args:
            task: Registered name of the task, for the message.
            arguments: The arguments of the call, with defaults.
            codec: Turns what is no text into text.

        Raises:
            EncodeError: The key cannot be encoded.
        """
        if self.key is None:
            return ""
        if isinstance(self.key, str):
            return key_text(task, arguments.arguments[self.key], codec)
        return key_text(task, self.key(*arguments.args, **arguments.kwargs), codec)


def _is_key(value: object) -> bool:
    return value is None or isinstance(value, str) or callable(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_NAME


def check_limits(concurrency: object, rate: str, burst: object) -> None:
    """Refuse wrong limits.

    Raises:
        DeclarationError: There is one; the message says the fix.
    """
    if concurrency is not None:
        check_count("concurrency", concurrency)
    if rate:
        rate_of(rate)
    if burst is not None:
        check_count("burst", burst)
        if not rate:
            raise DeclarationError('burst needs a rate, such as rate="10/s".')


def check_count(name: str, value: object) -> None:
    """Refuse what is not a number of calls.

    Raises:
        DeclarationError: It is not a whole number from 1.
    """
    if type(value) is not int or value < 1:
        raise DeclarationError(f"{name}={value!r:.80} must be a whole number from 1.")


def key_text(task: str, value: object, codec: Codec) -> str:
    """Return a key as text; equal values have the same text, a long text is its digest.

    Raises:
        EncodeError: The value cannot be encoded.
    """
    try:
        text = (
            str.__str__(value)
            if isinstance(value, str)
            else json.dumps(canonical(codec.encode(value, "key"), codec), sort_keys=True)
        )
        return text if len(text.encode()) <= _LONGEST_KEY else digest_of(text)
    except (EncodeError, UnicodeEncodeError) as error:
        raise EncodeError(f"{task}: its flow's key cannot be encoded: {error}") from None


def checked(value: object) -> tuple[Flow, ...]:
    """Return the option `flow` as a tuple.

    Raises:
        DeclarationError: It is neither a `Flow` nor several.
    """
    flows = (value,) if isinstance(value, Flow) else value
    if not isinstance(flows, Sequence) or isinstance(flows, str | bytes) or not flows:
        raise DeclarationError(f"flow={value!r:.80} must be an adjourn.Flow, or a list of them.")
    for flow in flows:
        if not isinstance(flow, Flow):
            raise DeclarationError(f"flow={flow!r:.80} must be an adjourn.Flow.")
    return tuple(flows)


def declared_flows(tasks: Iterable[Any]) -> Mapping[str, Flow]:
    """Return the flows of all tasks by name."""
    return dict(_flows(tasks))


def _flows(tasks: Iterable[Any]) -> Iterator[tuple[str, Flow]]:
    for task in tasks:
        yield from named(task.defaults.flow or (), task.name)


def check_alike(tasks: Iterable[Any]) -> None:
    """Refuse different limits under the same name; their keys may be taken from other arguments.

    Raises:
        DeclarationError: There are such.
    """
    known: dict[str, Flow] = {}
    for name, flow in _flows(tasks):
        if known.setdefault(name, flow).limits != flow.limits:
            raise DeclarationError(
                f"The flow {name!r} is declared twice, with different limits; rename one of them."
            )


def named(flows: Sequence[Flow], task: str) -> Sequence[tuple[str, Flow]]:
    """Return the flows of a task with their names."""
    own = [flow.name or (f"{task}#{n + 1}" if n else task) for n, flow in enumerate(flows)]
    return list(zip(own, flows, strict=True))


def check_declared(task: str, function: Callable[..., Any], flows: Sequence[Flow]) -> None:
    """Refuse flows whose key is no argument of the function, and two of the same name.

    Raises:
        DeclarationError: There are such.
    """
    parameters = signature(function, follow_wrapped=False).parameters
    for flow in flows:
        if isinstance(flow.key, str) and flow.key not in parameters:
            raise DeclarationError(
                f"{task} has no argument {flow.key!r} for its flow's key; there are:"
                f" {', '.join(parameters) or 'none'}."
            )
    names = [name for name, _ in named(flows, task)]
    if len(set(names)) < len(names):
        raise DeclarationError(f"{task} names a flow twice; give each a name of its own.")


def keys_of(
    task: str, flows: Sequence[Flow], arguments: BoundArguments, flow_key: object, codec: Codec
) -> tuple[str, ...]:
    """Return the keys of a call, one for each flow.

    Args:
        task: Registered name of the task.
        flows: Its flows.
        arguments: The arguments of the call.
        flow_key: The option of the call: for a task with several flows, one for each; None for
            the keys that the arguments have.
        codec: Turns what is no text into text.

    Raises:
        EncodeError: A key cannot be encoded.
        DeclarationError: There are not as many keys as flows.
    """
    if flow_key is None:
        arguments.apply_defaults()
        return tuple(flow.key_of(task, arguments, codec) for flow in flows)
    keys = flow_key if isinstance(flow_key, list | tuple) else (flow_key,)
    if len(keys) != len(flows):
        raise DeclarationError(f"{task} has {len(flows)} flows, so flow_key needs as many keys.")
    return tuple(key_text(task, key, codec) for key in keys)
