"""The three functions under a prefix of a web application's URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from adjourn.app import App
from adjourn.application.wiring import Wiring
from adjourn.errors import ConfigurationError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.requests.gate import Receiver
from adjourn.requests.responses import Response, responding, text
from adjourn.requests.wsgi import Environ, identify
from adjourn.settings import PREFIX

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_NAMES = ("deferred", "cron", "queryiter")

Respond: TypeAlias = Callable[[Environ], Response]


class Place(NamedTuple):
    """Where a request leads.

    Attributes:
        function: The name of the function; any other text is none of them.
        path: The path within the function.
    """

    function: str
    path: str


class Mount:
    """Responds to the requests under a prefix as the three functions would.

    The services of the application are made on first use. Where a deployment is set in the
    environment, they are checked at once.
    """

    def __init__(self, app: App, prefix: str) -> None:
        """Prepare to serve an application.

        Args:
            app: The application whose tasks are served.
            prefix: Begins the paths, such as `/_adjourn`.

        Raises:
            ConfigurationError: The prefix or a setting is wrong; the message says what to change.
            DeclarationError: A task cannot run in this deployment.
        """
        if not _PREFIX.fullmatch(prefix):
            raise ConfigurationError(f"prefix={prefix!r} must be a path such as {PREFIX!r}.")
        self._app = app
        self._prefix = prefix
        self._made: tuple[Wiring, Mapping[str, Respond]] | None = None
        if any(name.startswith("ADJOURN_") for name in os.environ):
            wiring = app.wiring()
            wiring.check()
            self._check_urls(wiring)

    def find(self, script: str, path: str) -> Place | None:
        """Return where a request leads; None if it is none of ours.

        Args:
            script: Path below which the framework has mounted us (`SCRIPT_NAME`, `root_path`).
            path: The path below that.
        """
        place = _place(path) if script.endswith(self._prefix) else None
        # Behind a proxy that takes a part of the path off, frameworks leave our prefix there.
        is_left = place is None or place.function not in _NAMES
        if is_left and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            return _place(path.removeprefix(self._prefix))
        return place

    def respond(self, place: Place, environ: Environ) -> Response:
        """Respond to a request that was found to be ours."""
        respond = self._functions().get(place.function)
        if respond is None:
            return text(404, "not found\n")
        identify(environ)
        return respond({**environ, "PATH_INFO": place.path})

    def _functions(self) -> Mapping[str, Respond]:
        wiring = self._app.wiring()
        if self._made is None or self._made[0] is not wiring:
            self._made = (wiring, _functions(wiring))
        return self._made[1]

    def _check_urls(self, wiring: Wiring) -> None:
        settings = wiring.settings
        urls = [getattr(settings, f"{name}_url") for name in _NAMES]
        paths = [urlsplit(url).path for url in urls]
        if not any(
            path.endswith(f"{self._prefix}/{name}")
            for path, name in zip(paths, _NAMES, strict=True)
        ):
            raise ConfigurationError(
                f"No function has its URL under the prefix {self._prefix!r}, so nobody would call:"
                f" set ADJOURN_SERVICE_URL=https://HOST{self._prefix}, or give the prefix of"
                f" {urls[0]}."
            )


def _place(path: str) -> Place:
    function, _, rest = path.lstrip("/").partition("/")
    return Place(function, f"/{rest}")


def _functions(wiring: Wiring) -> Mapping[str, Respond]:
    project = wiring.settings.project
    receive = _starting(wiring, wiring.receive_task)
    return {
        "deferred": responding(receive, project, wiring.receive_person),
        "cron": responding(wiring.receive_tick, project),
        "queryiter": responding(wiring.receive_step, project),
    }


def _starting(wiring: Wiring, receive: Receiver) -> Receiver:
    """Return a receiver that also enqueues the startup tasks, at the first delivery."""
    startup = wiring.startup
    if startup is None:
        return receive

    def first(delivery: Delivery) -> Outcome:
        startup.begin()
        return receive(delivery)

    return first
