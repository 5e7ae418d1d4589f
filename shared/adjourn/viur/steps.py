"""Steps of iterations that were under way in ViUR: each carried the whole of its run.

{"classID": "<class 'shop.Reprice'>", "kind": ..., "filters": {"price >": 5}, "orders": [["price",
1]], "startCursor": ..., "endCursor": ..., "distinct": ..., "srcSkel": ..., "customData": ...}
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DecodeError
from adjourn.viur.values import jsonDecodeObjectHook

CARRY_ON = "viur:step"

_QUERY = ("kind", "filters", "orders", "distinct")
_OTHER = ("classID", "srcSkel", "startCursor", "endCursor", "customData", "origKind", "totalCount")
_CLASS = re.compile(r"<class '([^']+)'>")
_BASE64 = re.compile(rb"[A-Za-z0-9_-]+=*")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ViurStep:
    """What such a step says.

    Attributes:
        iteration: Module and name of the class.
        skeleton: Kind of the skeleton whose instances the hooks expect; None for entities.
        query: kind, filters, orders and distinct of the query.
        start_cursor: Where it goes on.
        end_cursor: Where it ends.
        custom_data: The run's own.
    """

    iteration: str
    skeleton: str | None
    query: Mapping[str, Any]
    start_cursor: str | None
    end_cursor: str | None
    custom_data: object

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> ViurStep:
        """Return what the content of a body says.

        Raises:
            DecodeError: It is no step of ViUR.
        """
        # A filter that is not known must not be left out: more entities would be handled.
        if any(value for name, value in content.items() if name not in {*_QUERY, *_OTHER}):
            raise DecodeError("The step of ViUR says more of its query than can be understood.")
        try:
            found = _CLASS.fullmatch(content["classID"])
            iteration = found.group(1) if found else ""
            return cls(
                iteration=iteration,
                skeleton=content["srcSkel"],
                query={name: content[name] for name in _QUERY},
                start_cursor=_cursor(content["startCursor"]),
                end_cursor=_cursor(content["endCursor"]),
                custom_data=content["customData"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"The body is no step of ViUR: {type(error).__name__}.") from error


def content_of(body: bytes) -> Mapping[str, Any] | None:
    """Return the values in a body, None if it is not one of ViUR's steps."""
    try:
        content = json.loads(body, object_hook=jsonDecodeObjectHook)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and "classID" in content else None


def _cursor(text: str | None) -> str | None:
    """Return a cursor as Google's client gives it, which ViUR has encoded once more."""
    if not text:
        return None
    inner = base64.urlsafe_b64decode(text)
    return inner.decode("ascii") if _BASE64.fullmatch(inner) else text
