"""The rows of packages.csv: Python packages by rank, with the month of their last release."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CSV = Path(__file__).with_name("packages.csv")

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Package:
    """A package; version and month are None where the data have a gap."""

    rank: int
    name: str
    version: str | None
    last_release: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why."""

    line: int
    reason: str


def read(path: Path = CSV) -> Iterator[Package | BadRow]:
    """Yield every row of the file, good or bad, in order.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        for row in (reader := csv.DictReader(file)):
            yield _package(row, reader.line_num)


def _package(row: dict[str, str | None], line: int) -> Package | BadRow:
    rank, name, month = row.get("rank") or "", row.get("name") or "", row.get("last_release") or ""
    if not (rank.isascii() and rank.isdigit()):
        return BadRow(line, f"rank {rank!r} is not a number")
    if not name:
        return BadRow(line, "there is no name")
    if month and not _MONTH.fullmatch(month):
        return BadRow(line, f"last release {month!r} of {name} is not a month such as 2026-11")
    return Package(int(rank), name, row.get("version") or None, month or None)
