"""Names derived from a content: equal content has the same name in every process, for ever."""

from __future__ import annotations

import hashlib


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
