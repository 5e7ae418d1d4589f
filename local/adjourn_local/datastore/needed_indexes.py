"""The composite indexes that queries have needed so far; they are kept in the state file."""

import itertools
import json
import re
from collections.abc import Collection, Iterable

import grpc

from adjourn_local.database import Connection
from adjourn_local.datastore import composite_indexes
from adjourn_local.datastore.composite_indexes import CompositeIndex, IndexNeed
from adjourn_local.datastore.indexes import Column
from adjourn_local.datastore.query import Query
from adjourn_local.http.rpc import RpcError

SCHEMA = """
CREATE TABLE IF NOT EXISTS datastore_index_needs (need TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class NeededIndexes:
    """Notes what queries need, and refuses them where that is not declared.

    Args:
        connection: A connection to the state file, which has the tables of `SCHEMA`.
        declared: The composite indexes that are declared; None to refuse no query.
    """

    def __init__(
        self, connection: Connection, declared: Collection[CompositeIndex] | None = None
    ) -> None:
        self._connection = connection
        self.declared = declared
        rows = connection.execute("SELECT need FROM datastore_index_needs")
        self._needs = {IndexNeed.read(json.loads(need)) for (need,) in rows}
        self._met: set[IndexNeed] = set()

    def needs(self) -> Collection[IndexNeed]:
        """Return what queries have needed."""
        return self._needs

    def all(self) -> list[CompositeIndex]:
        """Return the indexes that serve what queries have needed, by kind."""
        return sorted({need.index for need in self._needs})

    def note(self, query: Query) -> None:
        """Note what a query needs.

        Raises:
            RpcError: FAILED_PRECONDITION, if that is not declared.
        """
        for need in composite_indexes.needs(query):
            if need not in self._met:
                self._add(need)
                self._check(need)
                self._met.add(need)

    def _add(self, need: IndexNeed) -> None:
        if need not in self._needs:
            text = json.dumps(need.written())
            insert = "INSERT OR IGNORE INTO datastore_index_needs VALUES (?)"
            self._connection.execute(insert, (text,))
            self._needs.add(need)

    def _check(self, need: IndexNeed) -> None:
        if self.declared is not None and not need.is_met_by(self.declared):
            # The text of the service, as users have reported it.
            text = f"no matching index found. recommended index is:\n{yaml(need.index)}"
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, text)


def terraform(indexes: Iterable[CompositeIndex]) -> str:
    """Return indexes as the variable `indexes` of the Terraform module."""
    lines, taken = ["indexes = {"], set[str]()
    for index in indexes:
        label = _label(index, taken)
        taken.add(label)
        properties = ", ".join(map(_property, index.properties))
        lines += [f"  {label} = {{", f"    kind       = {_quoted(index.kind)}"]
        lines += [f"    properties = [{properties}]"]
        lines += ["    ancestor   = true"] if index.ancestor else []
        lines.append("  }")
    return "".join(f"{line}\n" for line in [*lines, "}"])


def _label(index: CompositeIndex, taken: Collection[str]) -> str:
    names = [index.kind, *(column.name for column in index.properties)]
    label = re.sub(r"\W+", "_", "_".join(names).lower(), flags=re.ASCII).strip("_")
    label = label if label[:1].isalpha() else f"index_{label}"
    numbered = (f"{label}_{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([label], numbered) if each not in taken)


def _property(column: Column) -> str:
    order = ', order = "DESCENDING"' if column.descending else ""
    return f"{{ name = {_quoted(column.name)}{order} }}"


def _quoted(name: str) -> str:
    """Return a text as Terraform has it, which would take `${` and `%{` for templates."""
    text = json.dumps(name, ensure_ascii=False)
    return text.replace("${", "$${").replace("%{", "%%{")


def yaml(index: CompositeIndex) -> str:
    """Return an index as an item of the list in `index.yaml`."""
    lines = [f"- kind: {_scalar(index.kind)}"]
    if index.ancestor:
        lines.append("  ancestor: yes")
    lines.append("  properties:")
    for name, descending in index.properties:
        lines.append(f"  - name: {_scalar(name)}")
        if descending:
            lines.append("    direction: desc")
    return "".join(f"{line}\n" for line in lines)


def _scalar(name: str) -> str:
    """Return a name as YAML has it: plain if nobody can take it for something else."""
    is_plain = name.isascii() and name.replace("_", "a").replace(".", "a").isalnum()
    is_word = is_plain and not name[0].isdigit() and name.lower() not in _NOT_TEXT
    return name if is_word else json.dumps(name, ensure_ascii=False)


# https://yaml.org/type/bool.html and null.html
_NOT_TEXT = {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}
