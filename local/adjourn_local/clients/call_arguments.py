"""The arguments of a call as text that a person edits: literals of Python.

What has no literal is written as the codec encodes it, such as `{'$decimal': '1.50'}`. So the text
is read by the rules by which bodies are, and nothing in it is run.
"""

import ast
import math
from collections.abc import Mapping, Sequence
from keyword import iskeyword

from adjourn.errors import EncodeError
from adjourn.serialization.codec import Codec
from adjourn_local.errors import UsageError

LONGEST = 100_000  # characters of a text that is edited

_SCALARS = {type(None), bool, int, float, str, bytes}
_EXAMPLE = "such as 7, 'text', size=[1, 2]"


def written(args: Sequence[object], kwargs: Mapping[str, object], codec: Codec) -> str:
    """Return arguments as text, with each one on a line of its own.

    Raises:
        EncodeError: The codec does not encode one.
    """
    lines = [_literal(each, codec) for each in args]
    for name, value in kwargs.items():
        # Python normalizes identifiers that are not ASCII.
        is_plain = name.isascii() and name.isidentifier() and not iskeyword(name)
        literal = _literal(value, codec)
        lines.append(f"{name}={literal}" if is_plain else f"**{{{name!r}: {literal}}}")
    return ",\n".join(lines)


def read(text: str, codec: Codec) -> tuple[tuple[object, ...], dict[str, object]]:
    """Return the positional and the keyword arguments in a text.

    Raises:
        UsageError: It is too long, or has something else than literals and what the codec decodes.
    """
    if len(text) > LONGEST:
        raise UsageError(f"The arguments have more than {LONGEST:,} characters.")
    try:
        call = ast.parse(f"call({text}\n)", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise UsageError(f"Write arguments and nothing else, {_EXAMPLE}.")
        args = tuple(_decoded(ast.literal_eval(each), codec) for each in call.args)
        kwargs: dict[str, object] = {}
        for each in call.keywords:
            value = ast.literal_eval(each.value)
            named = {each.arg: value} if each.arg else value
            for name, item in named.items():
                if name in kwargs:
                    raise UsageError(f"The argument {name} is given twice.")
                kwargs[f"{name}"] = _decoded(item, codec)
    except (
        SyntaxError,
        ValueError,
        TypeError,
        AttributeError,
        MemoryError,
        RecursionError,
    ) as error:
        reason = error.msg if isinstance(error, SyntaxError) else f"{error}"
        raise UsageError(f"These are no arguments, {_EXAMPLE}: {reason}.") from None
    _check(args, kwargs, codec)
    return args, kwargs


def _check(args: tuple[object, ...], kwargs: dict[str, object], codec: Codec) -> None:
    try:
        codec.encode([*args], "arguments")
        codec.encode({**kwargs}, "arguments")
    except EncodeError as error:
        raise UsageError(f"{error}") from None


def _literal(value: object, codec: Codec) -> str:
    kind = type(value)
    if _is_scalar(value):
        return repr(value)
    if isinstance(value, dict) and kind is dict and _is_plain(value):
        return f"{{{', '.join(f'{k!r}: {_literal(v, codec)}' for k, v in value.items())}}}"
    if isinstance(value, set) and kind is set and value and all(map(_is_scalar, value)):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    if isinstance(value, list | tuple) and kind in {list, tuple}:
        items = ", ".join(_literal(each, codec) for each in value)
        return f"[{items}]" if kind is list else f"({items}{',' if len(value) == 1 else ''})"
    return repr(codec.encode(value))


def _is_scalar(value: object) -> bool:
    return type(value) in _SCALARS and (not isinstance(value, float) or math.isfinite(value))


def _is_plain(value: dict[object, object]) -> bool:
    """Whether a dict cannot be mistaken for what the codec has encoded."""
    return all(type(name) is str and "$" not in name for name in value)


def _decoded(value: object, codec: Codec) -> object:
    if isinstance(value, dict):
        if any(isinstance(name, str) and name.startswith("$") for name in value):
            return codec.decode(value)
        return {_decoded(name, codec): _decoded(item, codec) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(_decoded(each, codec) for each in value)
    return value
