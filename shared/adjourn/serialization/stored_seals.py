"""Seals of what is stored in Datastore: who can write there can neither forge nor move it."""

from __future__ import annotations

from adjourn.errors import DecodeError
from adjourn.ports import Sealer
from adjourn.ports.sealer import is_sealed


def sealed(sealer: Sealer | None, body: bytes, name: str, queue: str = "") -> bytes:
    """Return a body with a seal that holds in one place, if bodies are sealed.

    Args:
        sealer: Seals it; None without a key.
        body: The body.
        name: The place: what no other body has, nor a task, unless it is to become that task.
        queue: Short name of the queue, if it is to become a task.
    """
    if sealer is None or not sealer.is_sealing:
        return body
    return sealer.seal(body, queue, name)


def opened(sealer: Sealer | None, stored: bytes, name: str, what: str, remedy: str = "") -> bytes:
    """Return a body that `sealed` has returned.

    Args:
        sealer: Opens it; None without a key.
        stored: What was stored.
        name: The place in which its seal holds.
        what: What it is, for the error.
        remedy: What to do if it must have a seal and has none, for the error.

    Raises:
        DecodeError: Its seal is missing or does not hold, or its key is not known here.
    """
    if is_sealed(stored):
        if sealer is None:
            raise DecodeError(f"{what} is sealed, and there is no key")
        return sealer.open(stored, "", name)
    if sealer is not None and sealer.is_required:
        raise DecodeError(f"{what} is not sealed{remedy}")
    return stored
