"""The results that calls keep, read without the application's code."""

import datetime as dt
import json
import os
from dataclasses import dataclass

from adjourn.errors import DecodeError
from adjourn.gcp import google_adapters
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.ports import Record, RecordKey
from adjourn.serialization.codec import Codec
from adjourn.settings import Settings
from adjourn.state.call_results import KIND, CallResults


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResult:
    """How a call has ended.

    Attributes:
        id: The id of the call.
        task: Registered name of its task; "" if the record cannot be read.
        end: "done", "failed", "dropped", or "refused" for what could not be kept.
        kept_until: Until when this is kept.
        value: What it returned, in its JSON form; None if it returned nothing that is kept.
        text: What it returned in Python's syntax, or why there is nothing.
    """

    id: str
    task: str
    end: str
    kept_until: dt.datetime | None
    value: object
    text: str


def kept_result(call: str) -> KeptResult | None:
    """Return the result that the call with this id keeps in the deployment; None if there is none.

    Raises:
        ConfigurationError: A setting is missing or wrong.
        StoreError: Datastore could not be reached.
    """
    adapters = google_adapters(Settings.from_env(os.environ), None)
    record = adapters.store.get([RecordKey(KIND, call)])[0]
    results = CallResults(
        store=adapters.store,
        clock=adapters.clock,
        sealer=adapters.sealer,
        codec=Codec(extensions=DATASTORE_VALUES),
    )
    return _kept(results, call, record) if record else None


def _kept(results: CallResults, call: str, record: Record) -> KeptResult:
    until = record.get("expires_at")
    kept_until = until if isinstance(until, dt.datetime) else None
    try:
        tree = results.tree(call, record)
    except DecodeError as error:
        return KeptResult(
            id=call, task="", end="", kept_until=kept_until, value=None, text=f"{error}"
        )
    return KeptResult(
        id=call,
        task=f"{tree.get('task', '')}",
        end=f"{tree.get('end', '')}",
        kept_until=kept_until,
        value=tree.get("value"),
        text=f"{tree['text']}" if "text" in tree else _python(results.codec, tree.get("value")),
    )


def _python(codec: Codec, value: object) -> str:
    try:
        return repr(codec.decode(value))  # type: ignore[arg-type]  # it was read from JSON
    except DecodeError:  # of a type that only the application knows
        return json.dumps(value, indent=2, ensure_ascii=False)
