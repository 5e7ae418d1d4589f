"""What ViUR's task module has as variables: here, what the declarations and the deployment say.

They are read when they are asked for, and changing them changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from adjourn.settings import Settings
from adjourn.viur import region
from adjourn.viur.application import app
from adjourn.viur.calls import DeferredMethod, DeferredTask


def periodic_tasks() -> dict[str, dict[Any, Any]]:
    """Return the periodic functions with their intervals, by cron name."""
    found: dict[str, dict[Any, Any]] = {}
    for each in app.declared_periodics():
        found.setdefault(each.timing.cron_name, {})[each.task] = each.timing.when
    return found


def deferred_tasks() -> dict[str, Any]:
    """Return the deferred functions by name and module, such as `send.shop.mail`."""
    deferred = (t for t in app.declared_tasks() if isinstance(t, DeferredTask | DeferredMethod))
    return {f"{t.function.__name__}.{t.function.__module__}": t.function for t in deferred}


def startup_tasks() -> list[Any]:
    """Return the startup tasks."""
    return [each.task for each in app.declared_startups()]


def queue_region() -> str | None:
    """Return the region of the queues; None if nothing tells it."""
    if app.configured is not None:
        return app.configured.location
    return os.environ.get("ADJOURN_LOCATION") or region.of(os.environ) or None


def task_client() -> Any:
    """Return the client of Cloud Tasks.

    Raises:
        ConfigurationError: Settings are missing or wrong.
    """
    from adjourn.gcp.cloudtasks import CloudTaskQueue  # noqa: PLC0415 - for those who ask for it

    settings: Settings = app.wiring().settings
    return CloudTaskQueue(settings).client()


VARIABLES: Mapping[str, Callable[[], Any]] = {
    "_gaeApp": lambda: os.environ.get(region.APPLICATION),
    "regionPrefix": lambda: region.prefix(os.environ),
    "regionMap": lambda: dict(region.REGIONS),
    "queueRegion": queue_region,
    "taskClient": task_client,
    "_periodicTasks": periodic_tasks,
    "_callableTasks": lambda: dict(app.callable_classes),
    "_deferedTasks": deferred_tasks,
    "_deferred_tasks": deferred_tasks,
    "_startupTasks": startup_tasks,
    "_appengineServiceIPs": lambda: {"10.0.0.1", "0.1.0.1", "0.1.0.2"},
}
