"""Apply the mutations of a commit to the stored entities; all is computed before it is written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from adjourn_local.datastore import entities, keys, masks, transforms
from adjourn_local.datastore.entity_records import Change, EntityRecord
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.history import History
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import CommitRequest, Entity, Mutation, invalid
from adjourn_local.datastore.responses import CommitResponse, timestamp
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import read, write

_FORBIDDEN = {
    ("insert", "insert"),
    ("update", "insert"),
    ("upsert", "insert"),
    ("delete", "update"),
}
_CREATING = {"insert", "upsert"}
_MAX_TRANSFORMS = 500


@dataclass(slots=True)
class _Draft:
    """An entity while the mutations of one commit are applied to it."""

    partition: Partition
    kind: str
    path: bytes
    key: bytes
    operations: list[str]
    results: list[Any]
    old: EntityRecord | None = None
    entity: Any | None = None
    transforms: int = 0


_Step = tuple[_Draft, Any, str, Any, Any]
"""A draft, a mutation, its operation, what the operation is given, and the mutation's result."""


class OutdatedError(Exception):
    """An index was created while a commit checked its locks; its changes lack the rows for it."""


class MutationWriter:
    """Applies commits to the store."""

    def __init__(
        self, store: EntityTables, history: History, allocate: Callable[[Partition, Any], None]
    ) -> None:
        """Take the store, its history, and a function that gives an id to an incomplete key."""
        self._store = store
        self._history = history
        self._allocate = allocate

    def commit(self, request: Any, now: int, check_locks: Callable[[list[Change]], None]) -> Any:
        """Apply a commit's mutations, all or none, and return the response.

        Args:
            request: The CommitRequest; incomplete keys in it are completed.
            now: The current time in microseconds since 1970.
            check_locks: Called with the changes before they are written; an error that it raises
                prevents the commit.

        Raises:
            RpcError: A mutation is refused; nothing has changed.
            OutdatedError: Nothing has changed; try again with the original request.
        """
        transactional = request.mode != CommitRequest.NON_TRANSACTIONAL
        version = max(self._store.version + 1, now)
        response = CommitResponse()
        drafts = self._mutated(request, response, version, transactional=transactional)
        changes = []
        for draft in drafts:
            change = self._change(draft, version)
            _report(draft, change, version)
            if change is not None:
                changes.append(change)
        if changes:
            self._check_locks(changes, check_locks)
            self._store.apply(changes, version)
            self._history.note(changes, now)
        response.index_updates = sum(len(c.added_rows) + len(c.removed_rows) for c in changes)
        if transactional:
            write(response.commit_time, version)
        return response

    def _mutated(
        self, request: Any, response: Any, version: int, *, transactional: bool
    ) -> Iterable[_Draft]:
        """Return the entities of a commit after its mutations; each mutation gets a result."""
        database = keys.RequestDatabase(request.project_id, request.database_id)
        drafts: dict[bytes, _Draft] = {}
        steps = []
        for mutation in request.mutations:
            result = response.mutation_results.add()
            operation, given, key = _parts(mutation)
            draft = self._draft(operation, key, database, result)
            known = drafts.setdefault(draft.key, draft)
            if known is not draft:
                _check_sequence(known, operation, transactional=transactional)
                known.operations.append(operation)
                known.results.append(result)
            steps.append((known, mutation, operation, given, result))
        for stored, old in self._store.present().records(list(drafts)):
            if old is not None:
                drafts[stored].old = old
                drafts[stored].entity = Entity.FromString(old.body)
        try:
            for step in steps:
                _mutate(step, version)
        except RpcError as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                entities.check_all(request.mutations)
            raise
        return drafts.values()

    def _check_locks(
        self, changes: list[Change], check_locks: Callable[[list[Change]], None]
    ) -> None:
        before = self._store.version
        check_locks(changes)
        if self._store.version != before:
            raise OutdatedError

    def _draft(
        self, operation: str, key: Any, database: keys.RequestDatabase, result: Any
    ) -> _Draft:
        """Return the draft of a mutation's entity; complete its key."""
        path, kind, is_complete = keys.check_key(key, incomplete=operation in _CREATING)
        partition = database.partition(key)
        if not is_complete:
            self._allocate(partition, key)
            result.key = key.SerializeToString()
            path = keys.encode_path(key.path)
        stored = self._store.catalog.ensure_prefix(partition) + path
        return _Draft(partition, kind, path, stored, [operation], [result])

    def _change(self, draft: _Draft, version: int) -> Change | None:
        """Return the change to write for a draft, or None if the entity stays the same."""
        old, entity = draft.old, draft.entity
        if entity is None:
            if old is None:
                return None
            return Change(draft.key, old, None, removed_rows=self._rows_before(draft, old))
        body, after = self._store.checked(draft.partition, draft.kind, draft.path, entity)
        if old is None:
            new = EntityRecord(0, version, version, version, body)
            return Change(draft.key, None, new, added_rows=after)
        is_recreated = "delete" in draft.operations
        if old.body == body and not is_recreated:
            return None
        created = version if is_recreated else old.created
        before = self._rows_before(draft, old)
        return Change(
            draft.key,
            old,
            EntityRecord(old.id, version, created, version, body),
            removed_rows=[row for row in before if row not in after],
            added_rows={
                row: several for row, several in after.items() if before.get(row) != several
            },
        )

    def _rows_before(self, draft: _Draft, old: EntityRecord) -> dict[bytes, bool]:
        return self._store.stored_rows(draft.partition, draft.kind, draft.path, old.body)


def _check_sequence(draft: _Draft, operation: str, *, transactional: bool) -> None:
    if not transactional:
        raise invalid(
            "A non-transactional commit may not contain multiple mutations affecting"
            " the same entity."
        )
    earlier = draft.operations[-1]
    if (earlier, operation) in _FORBIDDEN:
        raise invalid(f"Cannot {earlier} then {operation} an entity in the same request.")


def _parts(mutation: Any) -> tuple[str, Any, Any]:
    """Return the operation of a mutation, what it is given, and the key in that."""
    operation = mutation.WhichOneof("operation")
    if operation is None:
        raise invalid("Mutation is missing operation.")
    given = getattr(mutation, operation)
    return operation, given, given if operation == "delete" else given.key


def _mutate(step: _Step, now: int) -> None:
    draft, mutation, operation, given, result = step
    if _conflicts(mutation, operation, draft.old):
        entities.check_all([mutation])
        result.conflict_detected = True
        return
    if operation == "delete":
        if mutation.property_transforms:
            raise invalid("A delete cannot have property transforms.")
        draft.entity = None
        return
    _check_existence(draft, operation, given.key)
    draft.entity = _written(mutation, draft.entity, given)
    if wanted := mutation.property_transforms:
        _transform(draft, wanted, result, now)


def _transform(draft: _Draft, wanted: Any, result: Any, now: int) -> None:
    draft.transforms += len(wanted)
    if draft.transforms > _MAX_TRANSFORMS:
        raise invalid(
            f"An entity cannot have more than {_MAX_TRANSFORMS} property transforms in a commit."
        )
    for one in wanted:
        value = transforms.transform(draft.entity, one, now)
        result.transform_results.append(value.SerializeToString())


def _check_existence(draft: _Draft, operation: str, key: Any) -> None:
    if operation == "insert" and draft.entity is not None:
        text = f"entity already exists: {keys.describe(key)}"
        raise RpcError(grpc.StatusCode.ALREADY_EXISTS, text)
    if operation == "update" and draft.entity is None:
        raise RpcError(grpc.StatusCode.NOT_FOUND, f"no entity to update: {keys.describe(key)}")


def _conflicts(mutation: Any, operation: str, old: EntityRecord | None) -> bool:
    """Return whether the stored entity differs from the one that the mutation expects.

    Raises:
        RpcError: It differs, and the mutation's strategy is to fail the commit.
    """
    which = mutation.WhichOneof("conflict_detection_strategy")
    if which is None:
        if mutation.conflict_resolution_strategy:
            raise invalid("conflict_resolution_strategy needs a conflict_detection_strategy.")
        return False
    if which == "base_version":
        required, stored = mutation.base_version, old.version if old else 0
    else:
        required = read(mutation.update_time)
        stored = old.updated if old else 0
    _check_base(operation, required, stored)
    if required == stored:
        return False
    if mutation.conflict_resolution_strategy == Mutation.FAIL:
        what = which.replace("_", " ")
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the stored version ({stored}) does not match the required {what} ({required})",
        )
    return True


def _check_base(operation: str, required: int, stored: int) -> None:
    """Refuse a version that the entity cannot have, as Google's emulator does."""
    if required < 0:
        raise invalid(f"Invalid base_version: {required}, it should be >= 0")
    if operation == "insert" and required:
        raise invalid("Cannot insert an entity with a base version greater than zero.")
    if operation == "update" and not required:
        raise invalid("Cannot update an entity with a base version set to zero.")
    if required > stored > 0:
        raise invalid("Invalid base version, it is greater than the stored version.")


def _written(mutation: Any, current: Any, given: Any) -> Any:
    """Return the entity that a mutation writes."""
    if not mutation.HasField("property_mask"):
        return given
    mask = masks.parse(mutation.property_mask)
    for name in masks.reserved(mask):
        raise invalid(f'The property mask names the reserved property "{name}".')
    entity = Entity()
    if current is not None:
        entity.CopyFrom(current)
    masks.copy_masked(given, entity, mask)
    entity.key.CopyFrom(given.key)
    return entity


def _report(draft: _Draft, change: Change | None, version: int) -> None:
    """Set versions and times in the results of an entity's mutations."""
    record = change.new if change else draft.old
    for result in draft.results:
        result.version = record.version if record else version
        if record is not None:
            result.create_time = timestamp(record.created)
            result.update_time = timestamp(record.updated)
