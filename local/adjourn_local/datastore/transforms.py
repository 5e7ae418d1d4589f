"""Property transforms: changes that the server computes from stored values."""

import math
from collections.abc import Callable
from typing import Any

from adjourn_local.datastore import index_values, masks
from adjourn_local.datastore.messages import PropertyTransform, Value, invalid
from adjourn_local.timing.timestamps import write

_MAX_INTEGER = (1 << 63) - 1
_MIN_INTEGER = -(1 << 63)
_MILLISECOND = 1000


def transform(entity: Any, message: Any, now: int) -> Any:
    """Apply one transform to an entity and return the transform's result.

    Args:
        entity: The entity to change.
        message: The PropertyTransform.
        now: The time of the request in microseconds.

    Raises:
        RpcError: The transform has no operation, or an operand of the wrong type.
    """
    which = message.WhichOneof("transform_type")
    if which is None:
        raise invalid("A property transform needs an operation.")
    *outer, name = masks.parse_path(message.property)
    value = masks.reach(entity, outer).properties[name]
    result = Value()
    if which == "set_to_server_value":
        _set_time(value, message, now)
        result.CopyFrom(value)
    elif which in _ARRAYS:
        _ARRAYS[which](value, getattr(message, which).values)
        result.null_value = 0
    else:
        operand = getattr(message, which)
        if _number(operand) is None:
            raise invalid(f"The operand of {which} must be an integer or a double.")
        _set_number(value, operand, _NUMBERS[which])
        result.CopyFrom(value)
    return result


def _set_time(value: Any, message: Any, now: int) -> None:
    if message.set_to_server_value != PropertyTransform.REQUEST_TIME:
        raise invalid("The only server value is REQUEST_TIME.")
    time = Value()
    write(time.timestamp_value, now // _MILLISECOND * _MILLISECOND)
    value.CopyFrom(time)


def _number(value: Any) -> int | float | None:
    which = value.WhichOneof("value_type")
    if which not in {"integer_value", "double_value"}:
        return None
    number: int | float = getattr(value, which)
    return number


Number = int | float


def _set_number(
    value: Any, operand: Any, combine: Callable[[Number, Number], Number | None]
) -> None:
    """Replace a value, including its `exclude_from_indexes`, unless the old value stays."""
    old, given = _number(value), _number(operand)
    if old is None or given is None:
        value.CopyFrom(operand)
        return
    new = combine(old, given)
    if isinstance(new, float):
        value.CopyFrom(Value(double_value=new))
    elif new is not None:
        value.CopyFrom(Value(integer_value=min(max(new, _MIN_INTEGER), _MAX_INTEGER)))


def _greater(old: Number, given: Number) -> Number | None:
    """Return the new number, or None if the old one stays."""
    return None if math.isnan(old) or old >= given else given


def _smaller(old: Number, given: Number) -> Number | None:
    """Return the new number, or None if the old one stays."""
    return None if math.isnan(old) or old <= given else given


_NUMBERS: dict[str, Callable[[Number, Number], Number | None]] = {
    "increment": lambda old, given: old + given,
    "maximum": _greater,
    "minimum": _smaller,
}


def _identity(value: Any) -> object:
    """Return an object that is equal for equal values; 1 and 1.0 are equal."""
    number = _number(value)
    if number is None:
        return index_values.encode(value) or value.SerializeToString(deterministic=True)
    return "nan" if math.isnan(number) else number


def _items(value: Any) -> list[Any]:
    return list(value.array_value.values) if value.HasField("array_value") else []


def _append_missing(value: Any, given: Any) -> None:
    items = _items(value)
    known = {_identity(item) for item in items}
    for item in given:
        if _identity(item) not in known:
            known.add(_identity(item))
            items.append(item)
    _set_items(value, items)


def _remove_all(value: Any, given: Any) -> None:
    unwanted = {_identity(item) for item in given}
    _set_items(value, [item for item in _items(value) if _identity(item) not in unwanted])


def _set_items(value: Any, items: list[Any]) -> None:
    array = Value()
    array.array_value.values.extend(items)
    array.array_value.SetInParent()
    value.CopyFrom(array)


_ARRAYS: dict[str, Callable[[Any, Any], None]] = {
    "append_missing_elements": _append_missing,
    "remove_all_from_array": _remove_all,
}
