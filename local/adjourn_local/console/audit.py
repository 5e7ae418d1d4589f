"""The audit: who changed what by the console, and when."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from adjourn.ports import Adapters, Record, RecordKey

KIND = "AdjournAudit"
KEPT = dt.timedelta(days=400)
_UNINDEXED = ("subject", "result")
_LONGEST = 1_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change.

    Attributes:
        at: When it was made.
        who: The account, or the user of the machine.
        action: What was done, such as "replay".
        subject: To what, such as the id of a dead letter.
        result: What came of it.
    """

    at: dt.datetime
    who: str
    action: str
    subject: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """Writes and finds the changes of a deployment, kept for 400 days.

    Attributes:
        adapters: Where they are stored.
        who: In whose name changes are made; empty where none may be made.
    """

    adapters: Adapters
    who: str

    def record(self, action: str, subject: str, result: str) -> None:
        """Write down a change.

        Raises:
            StoreError: It could not be written.
        """
        now = self.adapters.clock.now()
        entry: Record = {
            "at": now,
            "who": self.who,
            "action": action,
            "subject": subject[:_LONGEST],
            "result": result[:_LONGEST],
            "expires_at": now + KEPT,
        }
        key = RecordKey(KIND, self.adapters.new_id())
        self.adapters.store.put(key, entry, unindexed=_UNINDEXED)

    def find(self, before: dt.datetime | None = None) -> Iterator[AuditEntry]:
        """Yield the changes, the latest first.

        Raises:
            StoreError: Datastore could not be reached.
        """
        for _, record in self.adapters.store.query(KIND, by="at", before=before):
            yield _entry(record)


def _entry(record: Record) -> AuditEntry:
    fields: Mapping[str, object] = record
    at = fields["at"]
    assert isinstance(at, dt.datetime)  # noqa: S101 - as we wrote it
    names = ("who", "action", "subject", "result")
    return AuditEntry(at=at, **{name: f"{fields.get(name, '')}" for name in names})
