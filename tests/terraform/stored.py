"""How Google's services give back what was written: in a form of their own.

A value that comes back differently shows as a difference in every plan from then on, unless the
provider overlooks it.
"""

import json
from collections.abc import Callable
from typing import Any

from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.protobuf import json_format

from tests.terraform.values import State


def as_stored(type_name: str, state: State) -> State:
    """Return a resource as a service answers that was sent it.

    Raises:
        json_format.ParseError: It is no such resource.
    """
    rule = _RULES.get(type_name)
    return rule(state) if rule else state


def is_same_dashboard(stored: object, wanted: object) -> bool:
    """Whether the provider overlooks what differs: what the service has added.

    Source: removeComputedKeys in google/services/monitoring/resource_monitoring_dashboard.go of the
    provider.
    """
    if not isinstance(stored, str) or not isinstance(wanted, str):
        return False
    one, other = json.loads(stored), json.loads(wanted)
    return bool(_without_added(one, other) == other)


def _without_added(stored: Any, wanted: Any) -> Any:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return {
            name: _without_added(value, wanted[name])
            for name, value in stored.items()
            if wanted.get(name) is not None
        }
    if isinstance(stored, list) and isinstance(wanted, list):
        rest = stored[len(wanted) :]
        return [_without_added(*each) for each in zip(stored, wanted, strict=False)] + rest
    return stored


def _dashboard(state: State) -> State:
    """Read and write the JSON as protocol buffers have it, which refuses unknown fields."""
    message = json_format.Parse(state["dashboard_json"], Dashboard.pb()())
    told = json_format.MessageToDict(message) | {"name": "projects/1/dashboards/2", "etag": "e"}
    return state | {"dashboard_json": json.dumps(told, sort_keys=True)}


def _function(state: State) -> State:
    """Add the variable that Cloud Functions sets for everybody who has not set it."""
    (service,) = state["service_config"]
    variables = {"LOG_EXECUTION_ID": "true"} | (service["environment_variables"] or {})
    return state | {"service_config": [service | {"environment_variables": variables}]}


_RULES: dict[str, Callable[[State], State]] = {
    "google_monitoring_dashboard": _dashboard,
    "google_cloudfunctions2_function": _function,
}
