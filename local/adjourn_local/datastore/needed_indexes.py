"""The composite indexes that queries have needed so far; they are kept in the state file."""

import json
from collections.abc import Collection

import grpc

from adjourn_local.database import Connection
from adjourn_local.datastore import composite_indexes
from adjourn_local.datastore.composite_indexes import CompositeIndex, IndexNeed
from adjourn_local.datastore.indexes import Column
from adjourn_local.datastore.query import Query
from adjourn_local.http.rpc import RpcError

SCHEMA = """
CREATE TABLE IF NOT EXISTS datastore_needed_indexes (
    kind TEXT, properties TEXT, ancestor INTEGER,
    PRIMARY KEY (kind, properties, ancestor)) WITHOUT ROWID;
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
        select = "SELECT kind, properties, ancestor FROM datastore_needed_indexes"
        self._indexes = {
            CompositeIndex(kind, tuple(Column(*each) for each in json.loads(columns)), bool(below))
            for kind, columns, below in connection.execute(select)
        }
        self._known: set[IndexNeed] = set()

    def all(self) -> list[CompositeIndex]:
        """Return every index that a query has needed, by kind."""
        return sorted(self._indexes)

    def note(self, query: Query) -> None:
        """Note what a query needs.

        Raises:
            RpcError: FAILED_PRECONDITION, if that is not declared.
        """
        for need in composite_indexes.needs(query):
            if need not in self._known:
                self._add(need.index)
                self._check(need)
                self._known.add(need)

    def _add(self, index: CompositeIndex) -> None:
        if index not in self._indexes:
            columns = json.dumps([list(column) for column in index.properties])
            insert = "INSERT OR IGNORE INTO datastore_needed_indexes VALUES (?, ?, ?)"
            self._connection.execute(insert, (index.kind, columns, int(index.ancestor)))
            self._indexes.add(index)

    def _check(self, need: IndexNeed) -> None:
        if self.declared is not None and not need.is_met_by(self.declared):
            # The text of the service, as users have reported it.
            text = f"no matching index found. recommended index is:\n{yaml(need.index)}"
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, text)


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
