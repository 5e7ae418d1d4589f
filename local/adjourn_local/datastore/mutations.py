"""What a commit's mutations make of the stored entities, worked out before anything is written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from adjourn_local.datastore import keys, masks, transforms
from adjourn_local.datastore.entity_records import Change, EntityRecord
from adjourn_local.datastore.entity_store import EntityStore
from adjourn_local.datastore.history import History
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import (
    CommitRequest,
    CommitResponse,
    Entity,
    Mutation,
    invalid,
)
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import read, write

_FORBIDDEN = {
    ("insert", "insert"),
    ("update", "insert"),
    ("upsert", "insert"),
    ("delete", "update"),
}
_MAX_TRANSFORMS = 500


@dataclass(slots=True)
class _Draft:
    """An entity on its way through the mutations of one commit."""

    partition: Partition
    kind: str
    path: bytes
    key: bytes
    old: EntityRecord | None = None
    entity: Any | None = None
    transforms: int = 0
    operations: list[str] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)


class OutdatedError(Exception):
    """While a commit was admitted an index was made, which its changes know nothing of."""


class MutationWriter:
    """Applies commits to the store."""

    def __init__(
        self, store: EntityStore, past: History, allocate: Callable[[Partition, Any], None]
    ) -> None:
        """Take the store, what remembers its past, and what gives an id to a key that lacks one."""
        self._store = store
        self._past = past
        self._allocate = allocate

    def commit(self, request: Any, now: int, admit: Callable[[list[Change]], None]) -> Any:
        """Apply a commit's mutations, all or none, and return the response.

        Args:
            request: The CommitRequest; its entities are completed in place.
            now: The present in microseconds since 1970.
            admit: Told the changes before they are written; what it raises keeps them from it.

        Raises:
            RpcError: A mutation is refused; then nothing has changed.
            OutdatedError: To be tried again with the same request as it was; nothing has changed.
        """
        transactional = request.mode != CommitRequest.NON_TRANSACTIONAL
        version = max(self._store.version + 1, now)
        home = keys.RequestDatabase(request.project_id, request.database_id)
        response = CommitResponse()
        drafts: dict[bytes, _Draft] = {}
        steps = []
        for mutation in request.mutations:
            result = response.mutation_results.add()
            operation, draft = self._draft(mutation, home, result, drafts)
            _check_sequence(draft, operation, transactional=transactional)
            draft.operations.append(operation)
            draft.results.append(result)
            steps.append((draft, mutation, operation, result))
        for stored, old in self._store.records(self._store.present(), list(drafts)):
            if old is not None:
                drafts[stored].old = old
                drafts[stored].entity = Entity.FromString(old.body)
        for step in steps:
            _mutate(*step, version)
        planned = [(draft, self._change(draft, version)) for draft in drafts.values()]
        changes = [change for _, change in planned if change]
        if changes:
            self._check_admission(changes, admit)
            self._store.apply(changes, version)
            self._past.note(changes, now)
        for draft, change in planned:
            _report(draft, change, version)
        response.index_updates = sum(len(c.come) + len(c.gone) for c in changes)
        if transactional:
            write(response.commit_time, version)
        return response

    def _check_admission(
        self, changes: list[Change], admit: Callable[[list[Change]], None]
    ) -> None:
        before = self._store.version
        admit(changes)
        if self._store.version != before:
            raise OutdatedError

    def _draft(
        self, mutation: Any, home: keys.RequestDatabase, result: Any, drafts: dict[bytes, _Draft]
    ) -> tuple[str, _Draft]:
        """Return a mutation's operation and the draft of its entity, completing the key."""
        operation = mutation.WhichOneof("operation")
        if operation is None:
            raise invalid("Mutation is missing operation.")
        key = mutation.delete if operation == "delete" else getattr(mutation, operation).key
        path = keys.checked_path(key, incomplete=operation in {"insert", "upsert"})
        partition = home.partition(key)
        keys.set_partition(key, partition)
        last = key.path[-1]
        if last.WhichOneof("id_type") is None:
            self._allocate(partition, key)
            result.key.CopyFrom(key)
            path = keys.encode_path(key.path)
        stored = self._store.catalog.ensure_prefix(partition) + path
        draft = drafts.get(stored)
        if draft is None:
            draft = drafts[stored] = _Draft(partition, last.kind, path, stored)
        return operation, draft

    def _change(self, draft: _Draft, version: int) -> Change | None:
        """Return what must be written for a draft, or None if the entity stays as it is."""
        old, entity = draft.old, draft.entity
        if entity is None:
            if old is None:
                return None
            return Change(draft.key, old, None, gone=self._rows_before(draft, old))
        body = entity.SerializeToString(deterministic=True)
        if old is None:
            new = EntityRecord(0, version, version, version, body)
            return Change(draft.key, None, new, come=self._rows(draft, entity))
        made_anew = "delete" in draft.operations
        if old.body == body and not made_anew:
            return None
        created = version if made_anew else old.created
        before = self._rows_before(draft, old)
        after = self._rows(draft, entity)
        return Change(
            draft.key,
            old,
            EntityRecord(old.id, version, created, version, body),
            gone=[row for row in before if row not in after],
            come={row: several for row, several in after.items() if before.get(row) != several},
        )

    def _rows(self, draft: _Draft, entity: Any) -> dict[bytes, bool]:
        return self._store.index_rows(draft.partition, draft.kind, draft.path, entity)

    def _rows_before(self, draft: _Draft, old: EntityRecord) -> dict[bytes, bool]:
        return self._store.stored_rows(draft.partition, draft.kind, draft.path, old.body)


def _check_sequence(draft: _Draft, operation: str, *, transactional: bool) -> None:
    if not draft.operations:
        return
    if not transactional:
        raise invalid(
            "A non-transactional commit may not contain multiple mutations affecting"
            " the same entity."
        )
    earlier = draft.operations[-1]
    if (earlier, operation) in _FORBIDDEN:
        raise invalid(f"Cannot {earlier} then {operation} an entity in the same request.")


def _mutate(draft: _Draft, mutation: Any, operation: str, result: Any, now: int) -> None:
    if _conflicts(mutation, operation, draft.old):
        result.conflict_detected = True
        return
    if operation == "delete":
        if mutation.property_transforms:
            raise invalid("A delete cannot have property transforms.")
        draft.entity = None
        return
    given = getattr(mutation, operation)
    _check_existence(draft, operation, given.key)
    draft.entity = _written(mutation, draft.entity, given)
    asked = mutation.property_transforms
    draft.transforms += len(asked)
    if draft.transforms > _MAX_TRANSFORMS:
        raise invalid(
            f"An entity cannot have more than {_MAX_TRANSFORMS} property transforms in a commit."
        )
    for one in asked:
        result.transform_results.append(transforms.transform(draft.entity, one, now))


def _check_existence(draft: _Draft, operation: str, key: Any) -> None:
    if operation == "insert" and draft.entity is not None:
        text = f"entity already exists: {keys.describe(key)}"
        raise RpcError(grpc.StatusCode.ALREADY_EXISTS, text)
    if operation == "update" and draft.entity is None:
        raise RpcError(grpc.StatusCode.NOT_FOUND, f"no entity to update: {keys.describe(key)}")


def _conflicts(mutation: Any, operation: str, old: EntityRecord | None) -> bool:
    """Return whether the entity is not the one that the mutation was made for.

    Raises:
        RpcError: It is not, and the mutation wants the whole commit to fail then.
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
    """Refuse a version that the entity cannot have had, as Google's emulator does."""
    if required < 0:
        raise invalid(f"Invalid base_version: {required}, it should be >= 0")
    if operation == "insert" and required:
        raise invalid("Cannot insert an entity with a base version greater than zero.")
    if operation == "update" and not required:
        raise invalid("Cannot update an entity with a base version set to zero.")
    if required > stored > 0:
        raise invalid("Invalid base version, it is greater than the stored version.")


def _written(mutation: Any, current: Any, given: Any) -> Any:
    """Return what a mutation makes of an entity."""
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
    """Write versions and times into the results of an entity's mutations."""
    record = change.new if change else draft.old
    for result in draft.results:
        result.version = record.version if record else version
        if record is not None:
            write(result.create_time, record.created)
            write(result.update_time, record.updated)
