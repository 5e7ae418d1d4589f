"""The options of debounced and throttled calls: several are collected, and one of them runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

DURATIONS = frozenset({"debounce", "max_wait", "throttle"})

# Below a second, the records of the calls would be written more often than Datastore advises.
_SHORTEST, _LONGEST = dt.timedelta(seconds=1), dt.timedelta(days=1)
_CONTRADICTING = ("delay", "eta", "spread", "expires", "call_name", "unique_by")


def is_collected(options: Any) -> bool:
    """Whether calls with these options are debounced or throttled."""
    return options.debounce is not None or options.throttle is not None


def mistakes(options: Any) -> Iterator[str]:
    """Yield a sentence, with the fix, for each wrong option of these."""
    for name in DURATIONS:
        value = getattr(options, name)
        if value is not None and not _SHORTEST <= value <= _LONGEST:
            yield f"{name} must be between a second and a day."
    if options.by not in (None, "arguments", "task") and not callable(options.by):
        yield f'by={options.by!r:.80} must be "arguments", "task" or a function of the arguments.'
    if options.by is not None and not is_collected(options):
        yield "by needs debounce or throttle."
    yield from _contradictions(options)


def _contradictions(options: Any) -> Iterator[str]:
    if options.debounce is not None and options.throttle is not None:
        yield "Give debounce or throttle, not both."
    if options.max_wait is not None:
        if options.debounce is None:
            yield "max_wait needs debounce."
        elif options.max_wait < options.debounce:
            yield "max_wait must not be shorter than debounce."
    if options.keep_result is not None and is_collected(options):
        yield "Leave keep_result out: which of the calls runs is not known when they are made."
    for name in _CONTRADICTING if is_collected(options) else ():
        if getattr(options, name) is not None:
            yield f"Leave {name} out: a call that is debounced or throttled has a start of its own."
