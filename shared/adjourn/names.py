"""Names of tasks and entities: their form, and how they are derived from a content.

Equal content has the same name in every process, for ever.
"""

from __future__ import annotations

import hashlib
import re

# Short names of tasks, by the reference of Task.name.
TASK_NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")

# The end of the ids of periodic runs and of the names of their tasks.
RUN = "-periodic"


def digest(content: str | bytes, length: int = 32) -> str:
    """Return the first hexadecimal digits of a content's SHA-256, text as UTF-8.

    Task and entity names are made of these. Cloud Tasks advises names without a common beginning
    (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks).
    """
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:length]


def numbered(text: str, number: int) -> str:
    """Return the digest of a text with a number."""
    return digest(f"{text} {number}")
