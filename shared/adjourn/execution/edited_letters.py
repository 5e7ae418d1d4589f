"""Dead letters whose calls are given other arguments before they are replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adjourn.errors import DecodeError, EncodeError
from adjourn.execution.dead_letters import KIND, UNINDEXED
from adjourn.execution.replay import StoredDeadLetters, existing
from adjourn.execution.stored_letters import StoredDeadLetter, letter_of
from adjourn.names import CALLABLE, digest_of
from adjourn.ports import Record, RecordKey, Transaction
from adjourn.ports.sealer import is_sealed
from adjourn.serialization.codec import Codec, Json, to_json
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.verbatim import VERBATIM
from adjourn.state.owned_records import FINGERPRINT


def editable_call(letters: StoredDeadLetters, letter: StoredDeadLetter, codec: Codec) -> Envelope:
    """Return the call of a letter if it can be given other arguments.

    Args:
        letters: Knows the keys of sealed bodies.
        letter: The letter.
        codec: Decodes the arguments.

    Raises:
        DecodeError: It cannot; the message says why.
    """
    call = Envelope.decode(letters.genuine(letter, is_vouched_for=False), codec)
    if letter.replayed_at is not None:
        raise DecodeError(f"A replay of {letter.task_id} has begun; replay it to its end first.")
    check_inside(call)
    if call.task.startswith(CALLABLE):
        raise DecodeError("A user has started this call, and nobody else may change it.")
    return call


def check_inside(call: Envelope) -> None:
    """Refuse a call whose arguments are not in its body.

    Raises:
        DecodeError: They are stored by themselves.
    """
    if call.stowed is not None:
        raise DecodeError("The arguments are stored by themselves, and too large to be edited.")


def edit(
    letters: StoredDeadLetters, task_id: str, args: Sequence[Json], kwargs: Mapping[str, Json]
) -> str:
    """Replace the arguments of a letter's call and return the letter's new id.

    It is another call from then on: neither the claim of the old one nor its unique name belongs
    to it. Nothing is enqueued; replay the letter for that.

    Args:
        letters: Where it is.
        task_id: The name of the letter.
        args: The positional arguments, as the application's codec encodes them.
        kwargs: The keyword arguments, likewise.

    Raises:
        UnknownNameError: There is no letter with that id.
        DecodeError: Its call cannot be edited. Nothing was changed.
        EncodeError: The arguments are too large. Nothing was changed.
        StoreError: Datastore could not be reached.
    """

    def work(transaction: Transaction) -> str:
        key = RecordKey(KIND, task_id)
        record = existing(task_id, transaction.get([key])[0])
        letter = letter_of(task_id, record)
        before = editable_call(letters, letter, VERBATIM)
        name = digest_of(
            *before.identity, f"{before.resumed}", to_json([[*args], {**kwargs}]).decode()
        )
        call = before._replace(id=name, args=tuple(args), kwargs=kwargs, unique="", resumed=0)
        changes: Record = {
            "body": _body(letters, letter, call),
            FINGERPRINT: call.identity.fingerprint,
        }
        transaction.delete(key)
        transaction.put(RecordKey(KIND, name), {**record, **changes}, unindexed=UNINDEXED)
        return name

    return letters.store.transact(work)


def _body(letters: StoredDeadLetters, letter: StoredDeadLetter, call: Envelope) -> bytes:
    """Return the body for a call in a letter, sealed as the former one was."""
    body, is_small = call.encode_within(VERBATIM)
    if not is_small:
        raise EncodeError(f"The arguments of {call.task} are too large to be edited here.")
    if is_sealed(letter.body) and letters.sealer is not None:
        return letters.sealer.seal(body, letter.queue, letter.name)
    return body
