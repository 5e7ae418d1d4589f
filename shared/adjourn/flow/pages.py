"""Pages of a line: the calls that wait behind those that stand in the record of their flow."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from adjourn.names import CallIdentity
from adjourn.ports import Record, RecordKey

KIND = "AdjournFlowPage"


def page_key(flow: str, number: int) -> RecordKey:
    """Return the key of a page.

    Args:
        flow: Name of the record of the flow.
        number: Number of the page.
    """
    return RecordKey(KIND, f"{flow}-{number}")


def page_record(calls: Sequence[CallIdentity], expires_at: dt.datetime) -> Record:
    """Return the record of a page."""
    return {"waiting": json.dumps(calls, separators=(",", ":")), "expires_at": expires_at}


def read_page(record: Record | None) -> tuple[CallIdentity, ...]:
    """Return the calls on a page; none if it is gone."""
    return read_calls(json.loads(str(record["waiting"]))) if record else ()


def read_calls(tree: Sequence[Any]) -> tuple[CallIdentity, ...]:
    """Return the calls of their JSON form."""
    return tuple(CallIdentity(str(call), str(fingerprint)) for call, fingerprint in tree)
