"""Parse durations as people write them: 90s, 5m, 2h, 7d, 2w."""

import datetime as dt
import re

_UNITS = {
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
    "w": dt.timedelta(weeks=1),
}


def parse_duration(text: str) -> dt.timedelta:
    """Read a duration such as 90s, 5m, 2h, 7d or 2w.

    Raises:
        ValueError: The text is not such a duration.
    """
    if not re.fullmatch("[0-9]{1,6}[smhdw]", text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m, 2h, 7d or 2w")
    return int(text[:-1]) * _UNITS[text[-1]]
