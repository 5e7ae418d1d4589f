"""Steps of iterations that were under way in ViUR: each carried the whole of its run.

{"classID": "<class 'shop.Reprice'>", "kind": ..., "filters": {"price >": 5}, "orders": [["price",
1]], "startCursor": ..., "endCursor": ..., "distinct": ..., "srcSkel": ..., "customData": ...}
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.errors import DecodeError
from adjourn.names import VIUR
from adjourn.viur.keys import to_google
from adjourn.viur.queries import ViurQuery, google_cursor, wrapped
from adjourn.viur.values import jsonDecodeObjectHook

CARRY_ON = f"{VIUR}step"

_QUERY = ("kind", "filters", "orders", "distinct")
_OTHER = ("classID", "srcSkel", "startCursor", "endCursor", "customData", "origKind", "totalCount")
_CLASS = re.compile(r"<class '([^']+)'>")
_BASE64 = re.compile(rb"[A-Za-z0-9_+/-]+=*")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ViurStep:
    """What such a step says.

    Attributes:
        iteration: Module and name of the class.
        query: What it asks of Datastore, and where it goes on.
        custom_data: The run's own, with what its hooks expect of each result.
    """

    iteration: str
    query: ViurQuery
    custom_data: object

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> ViurStep:
        """Return what the content of a body says.

        Raises:
            DecodeError: It is no step of ViUR, or something in it cannot be read.
        """
        # A filter that is not known must not be left out: more entities would be handled.
        if any(value for name, value in content.items() if name not in {*_QUERY, *_OTHER}):
            raise DecodeError("The step of ViUR says more of its query than can be understood.")
        try:
            found = _CLASS.fullmatch(content["classID"])
            return cls(
                iteration=found.group(1) if found else "",
                query=_query(content),
                custom_data=wrapped(
                    content["customData"],
                    content["srcSkel"],
                    content["kind"],
                    content.get("origKind"),
                ),
            )
        except KeyError as error:
            raise DecodeError(f"The step of ViUR has no {error}.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise DecodeError(f"The step of ViUR cannot be read: {error}.") from error


def text_of_step(body: bytes) -> str | None:
    """Return the text of a body that is one of ViUR's steps, None for any other."""
    if b"classID" not in body:
        return None
    try:
        text = body.decode()
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return text if isinstance(content, dict) and "classID" in content else None


def content_of(text: str) -> Mapping[str, Any]:
    """Return the values in the text of a step.

    Raises:
        DecodeError: One of them cannot be read.
    """
    try:
        content: Mapping[str, Any] = json.loads(text, object_hook=jsonDecodeObjectHook)
    except ValueError as error:
        raise DecodeError(f"The step of ViUR cannot be read: {error}.") from error
    return content


def _query(content: Mapping[str, Any]) -> ViurQuery:
    filters = {name: to_google(value) for name, value in (content["filters"] or {}).items()}
    return ViurQuery(
        kind=content["kind"],
        filters=filters,
        orders=content["orders"] or (),
        distinct=content["distinct"] or (),
        start_cursor=_cursor(content["startCursor"]),
        end_cursor=_cursor(content["endCursor"]),
    )


def _cursor(text: str | None) -> str | None:
    """Return a cursor as Google's client gives it, which ViUR may have encoded once more.

    Raises:
        ValueError: It is none.
    """
    if not text:
        return None
    outer = google_cursor(text)
    try:
        inner = base64.urlsafe_b64decode(outer or "")
    except binascii.Error:
        inner = b""
    return google_cursor(inner) if _BASE64.fullmatch(inner) else outer
