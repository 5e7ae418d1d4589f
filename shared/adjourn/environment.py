"""Read settings from environment variables, and find variables that are not settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

ATTEMPTS = 100  # of a queue without configuration (RetryConfig.max_attempts)

_PREFIX = "ADJOURN_"
# Read by the command line, the loader of the functions and `adjourn.viur`, so not a mistake if set.
_OTHER_NAMES = {"ADJOURN_APP", "ADJOURN_VIUR_INTERVALS"}
_HOSTS = {
    "tasks_host": "CLOUDTASKS_EMULATOR_HOST",
    "scheduler_host": "CLOUDSCHEDULER_EMULATOR_HOST",
}

# 43 characters have two bits more than 32 bytes, which are zero.
_KEY = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=?"
_SWITCHES = ("ADJOURN_CLEANUP", "ADJOURN_ENVELOPE_REQUIRED")

Reader: TypeAlias = Callable[[Mapping[str, str]], object]


def read(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the settings that are set, by name."""
    values = {name: reader(environ) for name, reader in _READERS.items()}
    return {name: value for name, value in values.items() if value not in ("", (), None)}


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return _HOSTS.get(field, f"{_PREFIX}{field.upper()}")


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence with the fix for each variable that looks like a setting but is not one."""
    known = {variable(field) for field in _READERS} | _OTHER_NAMES
    endings = [name.removeprefix(_PREFIX) for name in known]
    found = []
    for name in _SWITCHES:
        value = environ.get(name, "")
        if value.strip().lower() not in {"", "true", "false"}:
            found.append(f"{name}={value!r} must be true or false.")
    for name in environ:
        if name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), endings, n=1)
            hint = f"did you mean {_PREFIX}{near[0]}?" if near else "remove it."
            found.append(f"{name} is not a setting of adjourn; {hint}")
    return found


def wrong_keys(keys: Sequence[str]) -> list[str]:
    """Return a sentence for each key that is wrong, without the key: it may be nearly right."""
    found = [
        f"ADJOURN_ENVELOPE_KEY: key {number} of {len(keys)} must be 32 random bytes in base64url;"
        " make one with: adjourn key."
        for number, key in enumerate(keys, 1)
        if not re.fullmatch(_KEY, key) or len(set(key[:-2])) == 1
    ]
    if len({key.rstrip("=") for key in keys}) < len(keys):
        found.append("ADJOURN_ENVELOPE_KEY: a key comes twice; remove it.")
    return found


def _text(*names: str) -> Reader:
    """Return a reader of the first variable that is not blank."""
    return lambda environ: next(filter(None, (environ.get(each, "").strip() for each in names)), "")


def _url(name: str) -> Reader:
    return lambda environ: environ.get(name, "").strip().rstrip("/")


def _texts(name: str) -> Callable[[Mapping[str, str]], tuple[str, ...]]:
    return lambda environ: tuple(
        part.strip() for part in environ.get(name, "").split(",") if part.strip()
    )


def _switch(name: str) -> Reader:
    return lambda environ: environ.get(name, "").strip().lower() == "true" or None


def _number(name: str) -> Reader:
    return lambda environ: _count(environ[name]) if name in environ else None


def _telemetry_flush(environ: Mapping[str, str]) -> object:
    """Return the seconds that are set; where Cloud Run runs the process, one second."""
    found = _number("ADJOURN_TELEMETRY_FLUSH")(environ)
    return 1 if found is None and environ.get("K_SERVICE") else found


def _count(text: str) -> int | str:
    """Return a whole number; anything else as it is, which the settings then refuse."""
    return int(text) if re.fullmatch("[0-9]{1,6}", text.strip()) else text.strip() or 0


def _attempts(environ: Mapping[str, str]) -> Mapping[str, int | str]:
    """Parse `100,mail=20`; what is no number from 1 stays a text, for the settings to refuse."""
    found: dict[str, int | str] = {"": ATTEMPTS}
    for part in _texts("ADJOURN_MAX_ATTEMPTS")(environ):
        queue, _, number = part.rpartition("=")
        found[queue.strip()] = 0 if number.strip() == "-1" else _count(number) or number
    return found


_READERS: Mapping[str, Reader] = {
    "project": _text("ADJOURN_PROJECT", "GOOGLE_CLOUD_PROJECT"),
    "location": _text("ADJOURN_LOCATION"),
    "job_location": _text("ADJOURN_JOB_LOCATION"),
    "fallback_location": _text("ADJOURN_FALLBACK_LOCATION"),
    "deferred_url": _url("ADJOURN_DEFERRED_URL"),
    "queryiter_url": _url("ADJOURN_QUERYITER_URL"),
    "cron_url": _url("ADJOURN_CRON_URL"),
    "service_url": _url("ADJOURN_SERVICE_URL"),
    "service_account": _text("ADJOURN_SERVICE_ACCOUNT"),
    "callers": _texts("ADJOURN_CALLERS"),
    "audiences": _texts("ADJOURN_AUDIENCES"),
    "people_audiences": _texts("ADJOURN_PEOPLE_AUDIENCES"),
    "queue": _text("ADJOURN_QUEUE"),
    "database": _text("ADJOURN_DATABASE"),
    "platform": _text("ADJOURN_PLATFORM"),
    # The deployed version: our own variable, that of Cloud Run, that of App Engine.
    "revision": _text("ADJOURN_REVISION", "K_REVISION", "GAE_DEPLOYMENT_ID"),
    "keys_url": _url("ADJOURN_KEYS_URL"),
    "retry_warning": _number("ADJOURN_RETRY_WARNING"),
    "function_timeout": _number("ADJOURN_FUNCTION_TIMEOUT"),
    "datastore_timeout": _number("ADJOURN_DATASTORE_TIMEOUT"),
    "max_attempts": _attempts,
    "cleanup": _switch("ADJOURN_CLEANUP"),
    "telemetry_flush": _telemetry_flush,
    "envelope_key": _texts("ADJOURN_ENVELOPE_KEY"),
    "envelope_seal": _text("ADJOURN_ENVELOPE_SEAL"),
    "envelope_required": _switch("ADJOURN_ENVELOPE_REQUIRED"),
    "tasks_host": _text("CLOUDTASKS_EMULATOR_HOST"),
    "scheduler_host": _text("CLOUDSCHEDULER_EMULATOR_HOST"),
}
