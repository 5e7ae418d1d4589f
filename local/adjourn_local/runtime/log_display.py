"""Show log lines to people: of which task, in which attempt; and one entry for one failure."""

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TextIO

from adjourn_local.database import TROUBLE
from adjourn_local.runtime.log_lines import LogLine
from adjourn_local.terminal import visible

_INDENT = "\n    "
_WIDEST = len("[queryiter]")
_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_DIM, _BOLD = "2", "1"
# How many errors are remembered, so that retries do not show the same traceback again.
_REMEMBERED = 200
# Seconds within which the same trouble with the state is shown once.
_TROUBLE_EVERY = 30.0


class LogDisplay:
    """Writes log lines as text.

    Args:
        write: Writes a text.
        colours: Whether to use the colours of a terminal.
        verbose: Show everything: also what went well and what repeats itself.
    """

    def __init__(
        self, write: Callable[[str], object], *, colours: bool = False, verbose: bool = False
    ) -> None:
        self._write = write
        self._colours = colours
        self._verbose = verbose
        self._errors: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._trouble: dict[str, float] = {}

    def show(self, line: LogLine) -> None:
        """Write a line, unless it is one that only `verbose` shows."""
        if self._verbose or not (is_routine(line) or self._is_known_trouble(line)):
            self._write(self._text(line))

    def _text(self, line: LogLine) -> str:
        subject = f"{line.task} {line.short_id}".strip()
        if subject and line.attempt is not None:
            subject = f"{subject} #{line.attempt}"
        severity = line.severity if line.severity in _COLOURS else ""
        parts = (
            self._painted(_DIM, f"{line.at:%H:%M:%S} {f'[{_word(line.source)}]':<{_WIDEST}}"),
            self._painted(_BOLD, _word(subject)),
            self._painted(_COLOURS.get(severity, ""), severity),
            self._body(line),
        )
        return " ".join(filter(None, parts))

    def _body(self, line: LogLine) -> str:
        error = line.error()
        texts = [described(line, error)]
        if line.trace and (self._verbose or self._is_new(line.task, error)):
            texts.append(line.trace)
        return visible("\n".join(texts)).rstrip().replace("\n", _INDENT)

    def _is_new(self, task: str, error: str) -> bool:
        is_new = (task, error) not in self._errors
        self._errors[task, error] = None
        self._errors.move_to_end((task, error))
        if len(self._errors) > _REMEMBERED:
            self._errors.popitem(last=False)
        return is_new

    def _is_known_trouble(self, line: LogLine) -> bool:
        if line.event != TROUBLE:
            return False
        last, now = self._trouble.get(line.message, 0.0), line.at.timestamp()
        if now - last < _TROUBLE_EVERY:
            return True
        self._trouble = {line.message: now}
        return False

    def _painted(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and code and text else text


def _word(text: str) -> str:
    """Return a text that stays on its line."""
    return visible(text).replace("\n", "\\n")


def described(line: LogLine, error: str) -> str:
    """Return the message of a line, with the entity that failed and the error."""
    text = line.message
    if line.task:
        text = text.removeprefix(line.task).lstrip()
    if error:
        text = error if text and error.startswith(text) else f"{text}: {error}"
    entity = line.fields.get("entity")
    return f"{entity}: {text}" if entity else text


def is_routine(line: LogLine) -> bool:
    """Whether a line says nothing that a person waits for."""
    if line.severity == "DEBUG":
        return True
    match line.event:
        case "cron.tick":
            return line.fields.get("due") == 0 and line.severity == "INFO"
        case "attempt_failed":  # the function has said why
            return bool(line.fields.get("function_answered"))
    return False


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal with colours, and they are wanted (https://no-color.org)."""
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wanted and stream.isatty()
