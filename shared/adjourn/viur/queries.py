"""What a `db.Query` of ViUR's asks of Datastore, and what its hooks expect of each result."""

from __future__ import annotations

import base64
import binascii
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adjourn.errors import DeclarationError
from adjourn.serialization.types import Extension
from adjourn.viur import installed
from adjourn.viur.keys import to_google, to_viur

_OWN_WAYS = ("_customMultiQueryMerge", "_calculateInternalMultiQueryLimit", "_fulltextQueryString")
_STANDARD_BASE64 = str.maketrans("+/", "-_")


class ViurQuery(NamedTuple):
    """What a query says, as `adjourn.gcp.legacy.query_of` takes it, and where it begins and ends.

    Attributes:
        kind: Kind of the entities.
        filters: Values, or lists of them, by condition: "price >".
        orders: Properties, with the numbers that ViUR gives the directions.
        distinct: Properties on which the results are distinct.
        or_filters: Groups of conditions with values, one of each group to be met.
        start_cursor: As Google's client gives it.
        end_cursor: As Google's client gives it.
    """

    kind: str | None
    filters: Mapping[str, Any]
    orders: Sequence[tuple[str, int]] = ()
    distinct: Sequence[str] = ()
    or_filters: Sequence[Sequence[tuple[str, Any]]] = ()
    start_cursor: str | None = None
    end_cursor: str | None = None


class ViurRun(NamedTuple):
    """The custom data of a run over what is not just entities of a kind.

    Attributes:
        custom_data: The run's own.
        skeleton: Kind of the skeleton whose instances the hooks get; None for entities.
        origin: Kind of the entities that are meant, of which those of the query may be children.
    """

    custom_data: object
    skeleton: str | None
    origin: str | None


VIUR_RUN = Extension("viurrun", "adjourn.viur.queries.ViurRun", list, list, lambda it: ViurRun(*it))


def is_query(value: object) -> bool:
    """Whether a value is a query of ViUR's."""
    return hasattr(value, "queries")


def query_of(query: Any) -> ViurQuery:
    """Return what a query asks of Datastore.

    Raises:
        DeclarationError: ViUR does more with it than to ask Datastore, or it cannot be met.
    """
    definitions = query.queries
    if definitions is None:
        raise DeclarationError("The query cannot be met: a filter contradicts its skeleton.")
    if any(getattr(query, way, None) for way in _OWN_WAYS):
        raise DeclarationError(
            "The query is made of several whose results ViUR merges, or searches for a text; give"
            " one that Datastore answers by itself."
        )
    if isinstance(definitions, list) and not definitions:
        raise DeclarationError("The query cannot be met: it asks for one of no values.")
    first = definitions[0] if isinstance(definitions, list) else definitions
    filters = _merged(definitions) if isinstance(definitions, list) else first.filters
    return ViurQuery(
        kind=first.kind,
        filters=_to_google(filters),
        orders=[(name, order.value) for name, order in first.orders or ()],
        distinct=first.distinct or (),
        or_filters=[
            [(name, to_google(value)) for name, value in group]
            for group in getattr(first, "or_filters", None) or ()
        ],
        start_cursor=google_cursor(first.startCursor),
        end_cursor=google_cursor(first.endCursor),
    )


def run_of(query: Any, custom_data: object) -> object:
    """Return the custom data of a run over a query, with what its hooks expect."""
    skeleton = getattr(query, "srcSkel", None)
    return wrapped(
        custom_data,
        None if skeleton is None else skeleton.kindName,
        query.kind,
        getattr(query, "origKind", None),
    )


def wrapped(
    custom_data: object, skeleton: str | None, kind: str | None, origin: str | None
) -> object:
    """Return custom data, with what the hooks expect if that is not just the entities."""
    if skeleton is None and origin in {None, kind}:
        return custom_data
    return ViurRun(custom_data, skeleton, origin)


def own_data(custom_data: object) -> object:
    """Return the custom data that the application gave."""
    return custom_data.custom_data if isinstance(custom_data, ViurRun) else custom_data


def entry_of(entity: Any, custom_data: object) -> Any:
    """Return a result as ViUR hands it to the hooks; None if what is meant is gone.

    It is an entity of ViUR's own, or the skeleton's instance if the query was one's.
    """
    entry = to_viur(entity)
    if not isinstance(custom_data, ViurRun):
        return entry
    if _is_child_of(custom_data.origin, entry.key):
        entry = _read(entry.key.parent)
    if custom_data.skeleton is None or entry is None:
        return entry
    instance = skeleton_of(custom_data.skeleton)
    instance.setEntity(entry)
    return instance


def skeleton_of(kind: str) -> Any:
    """Return a new instance of a skeleton of ViUR's.

    Raises:
        ModuleNotFoundError: ViUR is not installed.
    """
    return importlib.import_module("viur.core.skeleton").skeletonByKind(kind)()


def google_cursor(text: str | bytes | None) -> str | None:
    """Return a cursor in the url-safe form of base64 that Google's client has.

    Raises:
        ValueError: It is none.
    """
    if not text:
        return None
    plain = text.decode("ascii") if isinstance(text, bytes) else text
    try:
        base64.b64decode(plain.translate(_STANDARD_BASE64), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"cursor {plain:.60} cannot be read: {error}") from error
    return plain.translate(_STANDARD_BASE64)


def _to_google(filters: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {condition: to_google(value) for condition, value in (filters or {}).items()}


def _merged(definitions: Sequence[Any]) -> Mapping[str, Any]:
    """Return the filters of the one query that ViUR up to 3.7 has made several of.

    It makes one for each value of IN, and two of an inequality.

    Raises:
        DeclarationError: They differ in more than that.
    """
    common = {
        condition: value
        for condition, value in definitions[0].filters.items()
        if all(each.filters.get(condition) == value for each in definitions)
    }
    rest = [
        {name: value for name, value in each.filters.items() if name not in common}
        for each in definitions
    ]
    if not any(rest):
        return common  # IN with one value, or the same ones
    names = [name for each in rest for name in each]
    properties = {name.split(" ")[0] for name in names}
    if {len(each) for each in rest} == {1} and len(properties) == 1:
        (name,), values = properties, [value for each in rest for value in each.values()]
        if {each.split(" ")[1] for each in names} == {"="}:
            return {**common, f"{name} IN": values}
        if [each.split(" ")[1] for each in names] == ["<", ">"] and values[0] == values[1]:
            return {**common, f"{name} !=": values[0]}
    raise DeclarationError("The query is made of several; give one with a single IN or !=.")


def _is_child_of(origin: str | None, key: Any) -> bool:
    parent = key.parent
    return origin not in {None, key.kind} and parent is not None and parent.kind == origin


def _read(key: Any) -> Any:
    db = installed.database()
    read = getattr(db, "get", None) or getattr(db, "Get", None)
    return read(key) if read else None
