"""What a check has found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adjourn import App
from adjourn.settings import Settings


class State(StrEnum):
    """How something stands."""

    OK = "ok"
    FAULT = "fault"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        subject: What was looked at, such as `queues`.
        state: How it stands.
        text: What is the case, in one sentence.
        fix: What mends a fault: a command, or what to change.
    """

    subject: str
    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the checks look at.

    Attributes:
        app: The application.
        settings: The settings, without mistakes.
        environ: The environment from which they were read.
    """

    app: App
    settings: Settings
    environ: Mapping[str, str]

    @property
    def is_local(self) -> bool:
        """Whether it is a laptop stack."""
        return bool(self.settings.tasks_host)

    @property
    def database(self) -> str:
        """The id of the database as Google's APIs have it."""
        return self.settings.database or "(default)"

    def queues(self) -> Iterable[str]:
        """Return the full names of the queues, those of the fallback region included."""
        settings = self.settings
        for location in filter(None, (settings.location, settings.fallback_location)):
            for name in sorted(self.app.queues(settings.queue)):
                yield f"projects/{settings.project}/locations/{location}/queues/{name}"


class NotAskedError(Exception):
    """A service could not be asked; the message says why."""


def fault(subject: str, text: str, fix: str) -> Finding:
    """Return a fault, with what mends it."""
    return Finding(subject, State.FAULT, text, fix)


def unreachable(subject: str, service: str, host: str, error: object) -> Finding:
    """Return that a service does not answer, without which nothing works.

    Args:
        subject: What was looked at.
        service: Name of the service.
        host: `host:port` of a local server; empty for the real service.
        error: What was told instead.
    """
    if host:
        return fault(subject, f"{service} does not answer at {host}: {error}", "adjourn up")
    fix = "look at the network of this machine, and at https://status.cloud.google.com"
    return fault(subject, f"{service} does not answer: {error}", fix)


def unknown(subject: str, text: str) -> Finding:
    """Return that something could not be found out, and why."""
    return Finding(subject, State.NOT_ASKED, text)


def summed_up(subject: str, faults: Iterable[Finding], fine: str) -> list[Finding]:
    """Return the faults, or one line that says that there are none."""
    return list(faults) or [Finding(subject, State.OK, fine)]


def capitalized(text: str) -> str:
    """Return a text whose first letter is a capital."""
    return text[:1].upper() + text[1:]


def flag(name: str, value: Any) -> str:
    """Return an option of a command line."""
    return f"--{name}={value}"
