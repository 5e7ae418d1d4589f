"""The page of settings: what is set, what the application declares, what is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn import App, environment
from adjourn.settings import Settings
from adjourn_local.console.rendering import site_of
from adjourn_local.doctor.examination import examine

TITLE = "Settings"
PATH = "/settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting as it is shown; a secret is not.

    Attributes:
        variable: The environment variable.
        value: Its value.
        is_default: Whether nobody set it.
    """

    variable: str
    value: str
    is_default: bool


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [Route(PATH, _show)]


def _show(request: Request) -> Response:
    site = site_of(request)
    deployment = site.deployment
    app = deployment.app
    findings = None
    if app is not None and "examine" in request.query_params:
        findings = list(examine(lambda: app, Path(), environ=deployment.environ))
    context = {
        "title": TITLE,
        "settings_shown": _settings(deployment.settings),
        "declared": None if app is None else _declared(app, deployment.settings),
        "findings": findings,
    }
    return site.render(request, "settings.html", context)


def _settings(settings: Settings) -> Sequence[Setting]:
    shown = []
    for each in fields(settings):
        value = getattr(settings, each.name)
        text = ", ".join(value) if isinstance(value, tuple) else f"{value}"
        shown.append(
            Setting(
                variable=environment.variable(each.name),
                value=text if each.repr else "(a secret)" if value else "",
                is_default=value == each.default,
            )
        )
    return shown


def _declared(app: App, settings: Settings) -> Sequence[tuple[str, Sequence[str]]]:
    declared = app._declared  # noqa: SLF001 - of our own package
    return [
        ("Tasks", sorted(task.name for task in declared.tasks)),
        ("Iterations", sorted(each.registered_name for each in declared.iterations)),
        ("Queues", sorted(app.queues(settings.queue))),
        ("Cron names", sorted(app.cron_names())),
    ]
