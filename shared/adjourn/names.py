"""Names of tasks and entities: their form, and how they are derived from a content.

Equal content has the same name in every process, for ever.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import Any, NamedTuple

# Short names of tasks, by the reference of Task.name.
TASK_NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")

# Kinds of Datastore itself, such as those of its statistics.
_RESERVED_KIND = re.compile(r"__.*__", re.DOTALL)
_OWN_KIND = re.compile(r"Adjourn[A-Z]")


def plain_text(value: Any) -> Any:
    """Return the text of a `StrEnum` member or another subclass of str; anything else as it is."""
    return str.__str__(value) if isinstance(value, str) else value


def is_own_kind(kind: str) -> bool:
    """Whether a kind of entities is adjourn's own: "Adjourn" with a capital letter behind it."""
    return _OWN_KIND.match(kind) is not None


def is_reserved_kind(kind: str) -> bool:
    """Whether Datastore reserves a kind: it begins and ends with two underscores."""
    return _RESERVED_KIND.fullmatch(kind) is not None


# The task names of unique calls.
UNIQUE_NAME = re.compile(r"[0-9a-f]{40}(-[0-9]+)?")

# The end of the ids of periodic runs and of the names of their tasks.
RUN = "-periodic"
# The beginning of the names of tasks that users start.
CALLABLE = "callable:"
# The beginning of the names of tasks that take over what ViUR has enqueued.
VIUR = "viur:"


def digest(content: str | bytes, length: int = 32) -> str:
    """Return the first hexadecimal digits of a content's SHA-256, text as UTF-8.

    Task and entity names are made of these. Cloud Tasks advises names without a common beginning
    (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks).
    """
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:length]


def digest_of(*texts: str) -> str:
    """Return the digest of several texts: no two lists of texts have the same.

    Nor has any text that does not begin with a space, as `digest` takes it.
    """
    return digest(f" {json.dumps(texts)}")


def numbered(text: str, number: int) -> str:
    """Return the digest of a text with a number."""
    return digest(f"{text} {number}")


class CallIdentity(NamedTuple):
    """Which call it is.

    Attributes:
        id: Its id, which another call may have been given on purpose.
        fingerprint: A digest of what else stays the same over all tasks of the call.
    """

    id: str
    fingerprint: str

    @classmethod
    def of(cls, call: str, task: str, made_at: dt.datetime) -> CallIdentity:
        """Return the identity of a call.

        Nobody guesses the time in microseconds of a call whose id is random. An id that is derived
        from a name is given anew when the call is made again, and then the time differs.

        Args:
            call: Its id.
            task: Registered name of its task.
            made_at: When it was made.
        """
        is_derived = "-" in call or task.startswith(VIUR)
        made = "" if is_derived else made_at.astimezone(dt.UTC).isoformat()
        return cls(call, digest_of(call, task, made))
