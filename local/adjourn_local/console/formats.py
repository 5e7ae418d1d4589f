"""How values are shown: times, numbers, durations, texts that are not ours."""

import datetime as dt

from adjourn.errors import AdjournError
from adjourn_local import terminal

LONGEST = 2_000  # characters of a text in a page; the rest can be asked for


class AddressError(AdjournError):
    """The address of a page has a part that cannot be read."""


def parse_time(text: str | None) -> dt.datetime | None:
    """Parse a time of an address.

    Raises:
        AddressError: It is no time with an offset.
    """
    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise AddressError(f"{text!r} is not a time with an offset")
    return at


def visible(text: object, longest: int = LONGEST) -> str:
    """Return a text with its control characters made visible, cut to a length."""
    value = f"{text}"
    rest = f" … {len(value) - longest:,} characters more" if len(value) > longest else ""
    return terminal.visible(value[:longest]) + rest


def first_line(text: object, longest: int = 160) -> str:
    """Return the first line of a text, visible and short."""
    return visible(f"{text}".partition("\n")[0], longest)


def time(at: dt.datetime | None) -> str:
    """Return a time in UTC, to the second; "-" for none."""
    return "-" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def machine_time(at: dt.datetime) -> str:
    """Return a time for the attribute `datetime`."""
    return at.astimezone(dt.UTC).isoformat(timespec="seconds")


def span(duration: dt.timedelta | None) -> str:
    """Return a duration in its two largest units, such as "2 h 5 min"; "-" for none."""
    if duration is None:
        return "-"
    seconds = int(abs(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def ago(at: dt.datetime | None, now: dt.datetime) -> str:
    """Return how far a time is from now, such as "5 min ago" or "in 2 h"; "-" for none."""
    if at is None:
        return "-"
    if abs(at - now) < dt.timedelta(seconds=1):
        return "now"
    return f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"


def number(value: float | None) -> str:
    """Return a number with separators; "-" for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"  # noqa: PLR2004
