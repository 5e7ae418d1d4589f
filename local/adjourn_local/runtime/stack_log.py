"""The log of a stack: what its functions print and what this process logs, shown and kept."""

import datetime as dt
import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from adjourn_local.runtime.log_display import LogDisplay
from adjourn_local.runtime.log_file import LogFile
from adjourn_local.runtime.log_lines import LogLine


class StackLog(logging.Handler):
    """Takes log lines from functions and, as a handler, from this process.

    Args:
        display: Shows them.

    Attributes:
        functions: The base URLs of the stack's functions, which log their failures themselves.
    """

    def __init__(self, display: LogDisplay) -> None:
        super().__init__()
        self._display = display
        self._file: LogFile | None = None
        self.functions: Collection[str] = ()

    def keep_in(self, folder: Path) -> None:
        """Keep the lines in the log file of a folder from now on."""
        self._file = LogFile(folder)

    def write(self, function: str, text: str) -> None:
        """Take a line that a function has printed."""
        self._take(LogLine.parse(function, text, dt.datetime.now().astimezone()))

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of this process."""
        try:
            self._take(self._line(record))
        except Exception:  # noqa: BLE001 - a log call must not fail
            self.handleError(record)

    def close(self) -> None:
        """Close the log file."""
        if self._file is not None:
            self._file.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> LogLine:
        line = LogLine.of_record(record)
        url = str(getattr(record, "url", ""))
        if not url.startswith(tuple(f"{each}/" for each in self.functions)):
            return line
        names = {"task": url.rpartition("/")[2], "function_answered": "status" in line.fields}
        return replace(line, fields={**line.fields, **names})

    def _take(self, line: LogLine) -> None:
        self._display.show(line)
        if self._file is not None:
            self._file.write(line)
