"""User starts: a record that a user was checked when a callable task was started in her name.

The call carries the name of its record, which nobody can guess, and the record says for which task,
user and arguments it holds. So nobody who can create tasks can start one in the name of a user.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.names import digest_of
from adjourn.ports import Adapters, EntityStore, Record, RecordKey

KIND = "AdjournUserStart"
# A task lives 31 days after its start at most (https://cloud.google.com/tasks/docs/quotas), and its
# dead letter 90.
_NEEDED = dt.timedelta(days=121)
KEPT = dt.timedelta(days=160)


@dataclass(kw_only=True, eq=False, repr=False)
class UserStarts:
    """The records of what users started, of the kind `AdjournUserStart`.

    `expires_at` is meant for a TTL policy.
    """

    store: EntityStore
    clock: Clock
    new_id: Callable[[], str]

    @classmethod
    def of(cls, adapters: Adapters) -> UserStarts:
        """Return the records of a deployment."""
        return cls(store=adapters.store, clock=adapters.clock, new_id=adapters.new_id)

    def put(self, content: str, start: dt.datetime | None) -> str:
        """Record that a user who was checked starts a call; return the name, which it carries.

        Args:
            content: What `content_of` returns for the call.
            start: Earliest start of the call; None for at once.

        Raises:
            StoreError: Datastore could not be reached; the call must not be made.
        """
        name = self.new_id()
        self._put(name, content, start or self.clock.now())
        return name

    def includes(self, name: str, content: str) -> bool:
        """Whether a user who was checked has started a call; its record is kept for its next task.

        Raises:
            StoreError: Datastore could not be reached; the call must wait.
        """
        record = self.store.get([RecordKey(KIND, name)])[0] if name else None
        if record is None or record["content"] != content:
            return False
        expires, now = record["expires_at"], self.clock.now()
        if isinstance(expires, dt.datetime) and expires - now < _NEEDED:
            self._put(name, content, now)
        return True

    def _put(self, name: str, content: str, start: dt.datetime) -> None:
        record: Record = {"content": content, "expires_at": start + KEPT}
        self.store.put(RecordKey(KIND, name), record, unindexed=("content",))


def content_of(task: str, user: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
    """Return a digest of a call; "" if its arguments are not JSON, as those of users are.

    Args:
        task: Registered name of the task.
        user: E-mail address of the user.
        args: The positional arguments.
        kwargs: The keyword arguments.
    """
    try:
        arguments = json.dumps([args, dict(kwargs)], sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return ""
    return digest_of(task, user, arguments)
