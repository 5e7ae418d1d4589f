"""The log file in the state folder: bounded, and read while it is written."""

import logging
import os
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from adjourn_local.private import make_private
from adjourn_local.runtime.log_lines import LogLine

NAME = "adjourn.log"
# There are so many former files besides the present one, each of this size in bytes.
_LONGEST = 5_000_000
_FORMER = 2

_log = logging.getLogger(__name__)


class LogFile:
    """Writes log lines to a file in a folder.

    Args:
        folder: The folder.
        longest: Size in bytes from which a new file is begun.
    """

    def __init__(self, folder: Path, longest: int = _LONGEST) -> None:
        self._handler = _Handler(
            folder / NAME, maxBytes=longest, backupCount=_FORMER, encoding="utf-8", delay=True
        )

    def write(self, line: LogLine) -> None:
        """Write a line; on a full disk it is lost, and the log says so once."""
        self._handler.handle(logging.makeLogRecord({"msg": line.to_json()}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _Handler(RotatingFileHandler):
    _is_broken = False

    def _open(self) -> TextIOWrapper:
        make_private(Path(self.baseFilename))
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - overridden
        if not self._is_broken:
            self._is_broken = True
            _log.warning("%s cannot be written: %s.", self.baseFilename, sys.exc_info()[1])


class LogReader:
    """Reads the log file of a folder: first all lines that it has, then those that are new."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file: TextIO | None = None
        self._begun = ""

    def read(self) -> Iterator[LogLine]:
        """Yield the lines that were written since the last call, the oldest first."""
        if self._file is None:
            for number in range(_FORMER, 0, -1):
                yield from self._rest_of(self._path.with_name(f"{NAME}.{number}"))
            self._file = _opened(self._path)
        while self._file is not None:
            yield from self._lines(self._file.read())
            if self._is_present(self._file):
                return
            self._file.close()
            self._file = _opened(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _rest_of(self, path: Path) -> Iterator[LogLine]:
        file = _opened(path)
        if file is not None:
            with file:
                yield from self._lines(file.read())

    def _lines(self, text: str) -> Iterator[LogLine]:
        *lines, self._begun = (self._begun + text).split("\n")
        yield from filter(None, map(LogLine.from_json, lines))

    def _is_present(self, file: TextIO) -> bool:
        """Whether a file still has the name of the log; a full one gets another."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True


def _opened(path: Path) -> TextIO | None:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
