"""Records of golden files: JSON, with times and bytes by their types."""

import base64
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any


def text(record: Mapping[str, Any]) -> str:
    """Return a record as it stands in a golden file."""

    def plain(value: Any) -> Mapping[str, str]:
        if isinstance(value, dt.datetime):
            return {"at": value.isoformat()}
        return {"bytes": base64.b64encode(value).decode()}

    return json.dumps(record, default=plain, indent=1, sort_keys=True) + "\n"


def record(text: str) -> Any:
    """Return the record of a golden file."""

    def value(item: Any) -> Any:
        if item.keys() == {"at"}:
            return dt.datetime.fromisoformat(item["at"])
        return base64.b64decode(item["bytes"]) if item.keys() == {"bytes"} else item

    return json.loads(text, object_hook=value)
