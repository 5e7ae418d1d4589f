"""The settings and the application, without which nothing else can be looked at."""

import re
from collections.abc import Callable, Iterator, Mapping

from adjourn import App
from adjourn.errors import AdjournError, ConfigurationError
from adjourn.settings import Settings
from adjourn_local.doctor.finding import Deployment, Finding, fault
from adjourn_local.errors import UsageError

SUBJECT, APPLICATION = "settings", "application"

_VARIABLE = re.compile(r"^(ADJOURN_[A-Z_]+|CLOUD[A-Z_]+)")
_SHOWN_BY = (
    "`adjourn env` prints them for the laptop stack, `terraform output environment` for others"
)


def read(
    load: Callable[[], App], environ: Mapping[str, str]
) -> tuple[Deployment | None, list[Finding]]:
    """Return the deployment, or None and what is wrong with its settings and its application."""
    faults: list[Finding] = []
    app: App | None = None
    settings: Settings | None = None
    try:
        settings = Settings.from_env(environ)
    except ConfigurationError as error:
        faults += _mistakes(str(error), environ)
    try:
        app = load()
    except (AdjournError, UsageError) as error:
        said = " ".join(str(error).split())
        faults.append(fault(APPLICATION, said, "correct --app (ADJOURN_APP) or what it says"))
    if app is None or settings is None:
        return None, faults
    return Deployment(app=app, settings=settings, environ=environ), faults


def _mistakes(message: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    for line in message.splitlines()[1:]:
        said = line.removeprefix("- ")
        found = _VARIABLE.match(said)
        if found and "is not a setting" in said:
            fix = f"unset {found[1]}"
        elif found:
            verb = "correct" if environ.get(found[1]) else "export"
            fix = f"{verb} {found[1]}=...; {_SHOWN_BY}"
        else:
            fix = f"correct the variable; {_SHOWN_BY}"
        yield fault(SUBJECT, said, fix)
