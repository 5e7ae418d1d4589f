"""Unique calls: by which name equal calls are one.

Equal calls get the same task name, so that Cloud Tasks refuses the second.
"""

from __future__ import annotations

import datetime as dt
import json
from inspect import BoundArguments, Parameter
from typing import Any

from adjourn.errors import EncodeError
from adjourn.names import digest
from adjourn.serialization.canonical import canonical
from adjourn.serialization.codec import Codec
from adjourn.state.unique_records import NAMES_LAST, UniqueCall
from adjourn.tasks.options import Options

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def unique_call(
    task: str,
    arguments: BoundArguments,
    options: Options,
    *,
    queue: str,
    now: dt.datetime,
    codec: Codec,
) -> UniqueCall:
    """Return what makes a call unique.

    Calls are equal if Python says so of their arguments by parameter, whatever is left to its
    default, and by whichever spelling. Periods are counted from the start of 1970, so two calls
    close to each other can still be in different periods.

    Raises:
        EncodeError: An argument cannot be encoded; the message names it.
    """
    lasts = options.unique_for or NAMES_LAST
    content: list[Any] = [task, (now - _EPOCH) // lasts]
    former = list(content)
    if options.unique_by == "arguments":
        former += _encoded(arguments, codec)
        content += content_of(arguments, codec)
    return UniqueCall(_name(content), _name(former), queue, lasts, options.unique_until)


def content_of(arguments: BoundArguments, codec: Codec) -> list[Any]:
    """Return what equal arguments have in common.

    Raises:
        EncodeError: An argument cannot be encoded; the message names it.
    """
    return [canonical(each, codec) for each in _encoded(_told(arguments, codec), codec)]


def _name(content: list[Any]) -> str:
    return digest(json.dumps(content, sort_keys=True), 40)


def _encoded(arguments: BoundArguments, codec: Codec) -> list[Any]:
    # By parameter, because the same argument may be passed by position or by name.
    return [codec.encode(list(arguments.args), "args"), codec.encode(arguments.kwargs, "kwargs")]


def _told(arguments: BoundArguments, codec: Codec) -> BoundArguments:
    """Return the arguments without those that equal the defaults of their parameters."""
    parameters = arguments.signature.parameters
    has_rest = any(
        parameters[name].kind is Parameter.VAR_POSITIONAL for name in arguments.arguments
    )
    told = {}
    for name, value in arguments.arguments.items():
        parameter = parameters[name]
        # What stands before *args has to keep its place.
        is_movable = parameter.kind is Parameter.KEYWORD_ONLY or not has_rest
        if not (is_movable and _are_equal(value, parameter.default, codec)):
            told[name] = value
    return BoundArguments(arguments.signature, told)


def _are_equal(value: object, default: object, codec: Codec) -> bool:
    if default is Parameter.empty:
        return False
    try:
        first, second = (canonical(codec.encode(each), codec) for each in (value, default))
    except EncodeError:
        return False
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
