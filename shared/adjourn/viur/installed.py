"""The ViUR of this process, of either generation, if the application has imported it.

Up to 3.7 the database module is `viur.datastore`, with keys and transactions of its own; from 3.8
on it is `viur.core.db`, on `google.cloud.datastore`. Nothing here imports ViUR.
"""

from __future__ import annotations

import sys
from typing import Any

MINUTES, SECONDS = "minutes", "seconds"

# From this version on a number as interval is seconds.
_SECONDS_SINCE = (3, 8)
_MINUTES_FLAG = "tasks.periodic.useminutes"


def database() -> Any | None:
    """Return ViUR's db module."""
    return sys.modules.get("viur.core.db") or sys.modules.get("viur.datastore")


def older_database() -> Any | None:
    """Return the db module of ViUR up to 3.7, if it is that which ViUR uses."""
    db = database()
    key = getattr(db, "Key", None)
    return db if getattr(key, "__module__", "") == "viur.datastore.types" else None


def configuration() -> Any | None:
    """Return ViUR's `conf`."""
    return getattr(sys.modules.get("viur.core.config"), "conf", None)


def current() -> Any | None:
    """Return ViUR's `current`, with the context variables of a request."""
    return sys.modules.get("viur.core.current")


def main_app() -> object | None:
    """Return the root of the modules that `viur.core.setup` has built."""
    return getattr(configuration(), "main_app", None)


def unit_of_numbers() -> str | None:
    """Return what a bare number as interval means to the ViUR that is installed; None without one.

    Its configuration decides if it is imported, as there; else its version.
    """
    conf = configuration()
    if conf is not None and hasattr(conf, "compatibility"):
        return MINUTES if _MINUTES_FLAG in conf.compatibility else SECONDS
    found = _version()
    return None if found is None else SECONDS if found >= _SECONDS_SINCE else MINUTES


def is_installed() -> bool:
    """Whether there is a ViUR that could be imported."""
    return "viur.core" in sys.modules or _version() is not None


def _version() -> tuple[int, int] | None:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import

    try:
        major, minor, *_ = version("viur-core").split(".")
    except PackageNotFoundError:
        return None
    return int(major), int(minor)
