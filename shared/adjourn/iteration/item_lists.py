"""Lists over which a run can go instead of a query: keys, rows of any kind, and CSV files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from adjourn.errors import DeclarationError


class ItemList:
    """A list of items, which a start stores while it reads them, so that it may be of any length.

    Attributes:
        are_keys: Whether the items are keys of entities, and the hooks get the entities.
    """

    are_keys = False

    def items(self) -> Iterator[object]:
        """Yield the items, once.

        Raises:
            DeclarationError: One of them cannot be read; the message says which.
        """
        raise NotImplementedError


class KeyList(ItemList):
    """Keys of entities. The hooks get each entity as it is then; those that are gone are counted.

    Args:
        keys: Keys of `google.cloud.datastore`. They are read once, by the start of the run.
    """

    are_keys = True

    def __init__(self, keys: Iterable[Any]) -> None:
        self._keys = _checked(keys, "keys")

    def items(self) -> Iterator[object]:
        """Yield the keys."""
        return iter(self._keys)


class RowList(ItemList):
    """Rows, ids or whatever the hooks are to be given as it is.

    Args:
        rows: Anything that a task's arguments may be. They are read once, by the start of the run.
    """

    def __init__(self, rows: Iterable[object]) -> None:
        self._rows = _checked(rows, "rows")

    def items(self) -> Iterator[object]:
        """Yield the rows."""
        return iter(self._rows)


class CsvFile(ItemList):
    """The rows of a CSV file, each as a dict of texts by the names in the first line.

    Empty lines are left out. The file is read by the start of the run, where that is called.

    Args:
        file: Its path, or a text file that is open; open one with `newline=""`.
        delimiter: What stands between two values.
        encoding: Of the file, if a path is given.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | TextIO,
        *,
        delimiter: str = ",",
        encoding: str = "utf-8-sig",
    ) -> None:
        self._file = file
        self._delimiter = delimiter
        self._encoding = encoding

    def items(self) -> Iterator[object]:
        """Yield the rows."""
        import csv  # noqa: PLC0415 - for those who have such a file

        name = getattr(self._file, "name", None) or self._file
        try:
            with self._opened() as file:
                yield from _rows(
                    csv.reader(file, delimiter=self._delimiter, strict=True), str(name)
                )
        except (OSError, csv.Error, UnicodeError, LookupError, TypeError) as error:
            raise DeclarationError(f"{name} cannot be read as CSV: {error}") from error

    def _opened(self) -> Any:
        if isinstance(self._file, str | os.PathLike):
            return Path(self._file).open(encoding=self._encoding, newline="")
        return nullcontext(self._file)


def _rows(reader: Any, name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file as dicts.

    Raises:
        DeclarationError: A line has another number of values than the first one, or that names two
            columns alike or none.
    """
    header: Sequence[str] = next(reader, [])
    if not header or len(set(header)) < len(header):
        raise DeclarationError(
            f"The first line of {name} must name the columns, each differently; it has {header!r}."
        )
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise DeclarationError(
                f"Line {reader.line_num} of {name} has {len(row)} values instead of {len(header)}."
            )
        yield dict(zip(header, row, strict=True))


def _checked(items: Iterable[Any], what: str) -> Iterable[Any]:
    """Refuse a single item, and a text, which would be taken apart.

    Raises:
        DeclarationError: It is one of these.
    """
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        raise DeclarationError(f"The {what} must be an iterable of {what}, not {items!r:.100}.")
    return items
