"""The page on which a person starts callable tasks, with a form for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn_local.clients.callable_tasks import CallableTasks, gcloud_token, local_token
from adjourn_local.clients.parameters import Schema, is_list, parameter, without_null
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, Site, site_of

TITLE = "Start a task"
PATH = "/start"
_HOME = f"{PREFIX}{PATH}"
_PREFIX = "parameter:"
_BOOLEANS = ("true", "false")


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [Route(PATH, _list), Route(f"{PATH}/task", perform(_start), methods=["POST"])]


def _list(request: Request) -> Response:
    site = site_of(request)
    is_laptop = site.deployment.control is not None
    email = request.query_params.get("email", "")
    audiences = site.deployment.settings.people_audiences
    tasks: Sequence[Mapping[str, Any]] | None = None
    if audiences and (email or not is_laptop):
        tasks = _client(site, email).list()
    context = {
        "title": TITLE,
        "is_laptop": is_laptop,
        "is_possible": bool(audiences),
        "email": email,
        "tasks": tasks,
        "inputs": {task["key"]: _inputs(task["parameters"]) for task in tasks or ()},
    }
    return site.render(request, "start.html", context)


def _client(site: Site, email: str) -> CallableTasks:
    """Return the callable tasks as a person sees them: on a laptop whoever she says she is."""
    settings = site.deployment.settings
    if site.deployment.control is None:
        token = gcloud_token(email or None)
    else:
        token = local_token(settings.keys_url, email, settings.people_audiences[0])
    return CallableTasks(url=settings.deferred_url, token=token)


def _inputs(schema: Schema) -> Sequence[Mapping[str, object]]:
    return [
        {
            "field": f"{_PREFIX}{name}",
            "name": name,
            "kind": _kind(without_null(each)),
            "choices": _choices(without_null(each)),
            "hint": each.get("description", without_null(each).get("description", "")),
            "default": each.get("default"),
            "is_required": name in schema["required"],
        }
        for name, each in schema["properties"].items()
    ]


def _kind(schema: Schema) -> str:
    """Return how a parameter is typed in: "list", "choice", "number", "date" or "text"."""
    if schema.get("type") == "array":
        return "list"
    if "enum" in schema or schema.get("type") == "boolean":
        return "choice"
    if schema.get("type") in {"integer", "number"}:
        return "number"
    return "date" if schema.get("format") == "date" else "text"


def _choices(schema: Schema) -> Sequence[str]:
    if schema.get("type") == "boolean":
        return _BOOLEANS
    return [str(value) for value in schema.get("enum", ())]


def _start(request: Request, fields: Mapping[str, str]) -> Action:
    site = site_of(request)
    email, key = fields.get("email", ""), fields.get("key", "")
    client = _client(site, email)
    forms = {task["key"]: task["parameters"]["properties"] for task in client.list()}
    # For an unknown or forbidden task the function returns the error.
    values = _values(fields, forms.get(key, {}))
    shown = ", ".join(f"{name}={value!r}" for name, value in values.items())

    def run() -> str:
        handle = client.start(key, values)
        return f"{key} is the task {handle['name']} now."

    return Action(
        name="start task",
        subject=f"{key}({shown}) as {email or 'the gcloud account'}",
        question=f"Start {key}({shown})?",
        effect="It runs once, as a task, in the name of this person.",
        run=run,
        back=f"{_HOME}?email={email}" if email else _HOME,
    )


def _values(fields: Mapping[str, str], form: Schema) -> Mapping[str, object]:
    """Return the parameters that were filled in."""
    values: dict[str, object] = {}
    for field, text in fields.items():
        name = field.removeprefix(_PREFIX)
        if name == field or not text:
            continue
        schema = form.get(name, {})
        values[name] = parameter(schema, text.splitlines() if is_list(schema) else [text])
    return values
