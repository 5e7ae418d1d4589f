"""Bodies that ViUR wrote, for tasks that were on their way when the application moved.

ViUR's body is a list of the command and of what it is about: `["unb", ["name.module", args, kwargs,
env]]` for a function, `["rel", ["path/name", args, kwargs, env]]` for a method of a module. It is
made a call of one task of ours, which looks up what is meant (see `adjourn.viur.takeover`).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from adjourn.errors import DecodeError, EncodeError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.names import VIUR, digest
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import LANGUAGE, USER
from adjourn.serialization.envelope import Envelope
from adjourn.viur.values import KEY, UnreadableError, jsonDecodeObjectHook

if TYPE_CHECKING:
    from adjourn.execution.runner import TaskRunner
    from adjourn.requests.gate import Receiver

TAKE_OVER = f"{VIUR}call"

_COMMANDS = ("rel", "unb")
# The oldest bodies have no environment.
_LENGTHS = (3, 4)


def translating(runner: TaskRunner) -> Receiver:
    """Return a receiver that translates bodies of ViUR before they are run."""

    def receive(delivery: Delivery) -> Outcome:
        try:
            ours = translated(delivery, runner.adapters.clock.now(), runner.codec)
        except DecodeError as error:
            return runner.reject(delivery, error)
        return runner(ours)

    return receive


def translated(delivery: Delivery, now: dt.datetime, codec: Codec) -> Delivery:
    """Return a delivery with a body of ours if it has one of ViUR's, as it is otherwise.

    Raises:
        DecodeError: The body is neither.
    """
    if not delivery.body.lstrip().startswith(b"["):  # ours is an object, or compressed
        return delivery
    try:
        raw = json.loads(delivery.body)
        command, (path, args, kwargs, *_) = json.loads(
            delivery.body, object_hook=jsonDecodeObjectHook
        )
    except UnreadableError as error:
        raise DecodeError(f"The call of ViUR cannot be read: {error}.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DecodeError(f"The body is not a call of ViUR: {type(error).__name__}.") from error
    _check(raw, command, path, args, kwargs)
    env = raw[1][3] if len(raw[1]) > len((path, args, kwargs)) else None
    try:
        call = Envelope(
            id=identity(delivery),
            task=TAKE_OVER,
            args=(command, path, args, kwargs, _marker(env)),
            enqueued_at=now,
            queue=delivery.queue,
            context=_identifiers(env),
        )
        return delivery._replace(body=call.encode(codec))
    except EncodeError as error:
        raise DecodeError(f"The body of ViUR cannot be carried: {error}") from error


def _check(raw: Any, command: object, path: object, args: object, kwargs: object) -> None:
    kinds = [(command, str), (path, str), (args, list), (kwargs, dict)]
    is_one = command in _COMMANDS and len(raw[1]) in _LENGTHS
    if not is_one or not all(type(value) is kind for value, kind in kinds):
        raise DecodeError("The body is a list, but not a call of ViUR.")


def identity(delivery: Delivery) -> str:
    """Return the id of the call that a body of ViUR's becomes, the same over all attempts."""
    of = f"{delivery.queue}/{delivery.task_name}" if delivery.task_name else delivery.body
    return digest(of)


def _marker(env: Any) -> str:
    marker = env.get("transactionMarker") if isinstance(env, dict) else None
    return marker if isinstance(marker, str) else ""


def _identifiers(env: Any) -> dict[str, object]:
    """Return who made the call, by the text of a key, and in which language; nothing else."""
    if not isinstance(env, dict):
        return {}
    found = {USER: _key_text(env.get("user")), LANGUAGE: env.get("lang")}
    return {name: text for name, text in found.items() if isinstance(text, str) and text}


def _key_text(user: Any) -> object:
    if not isinstance(user, dict):
        return user
    return next((_key_text(user[name]) for name in (".__ekey__", KEY, "key") if name in user), None)
