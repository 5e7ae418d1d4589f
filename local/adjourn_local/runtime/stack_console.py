"""The console in the process of the stack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web
from starlette.types import ASGIApp

from adjourn_local.console.activity import Activity
from adjourn_local.console.mount import MountedApp
from adjourn_local.runtime.addresses import Ports
from adjourn_local.runtime.function_process import Print
from adjourn_local.runtime.ports import HOST
from adjourn_local.timing.clocks import ApplicationClock, StackClock

if TYPE_CHECKING:
    from adjourn import App


class StackConsole:
    """The pages of the console, and what they show of the stack's activity.

    Args:
        environment: Returns the variables that lead to the stack.
        ports: The stack's ports.
        clock: The stack's clock.
        application: Returns the application, when the console is first opened.
        write: Called with a function's name and each line that the function prints.

    Attributes:
        activity: What the stack has seen of late.
        troubles: Returns what keeps tasks from being run by the present code, in sentences.
    """

    def __init__(
        self,
        environment: Callable[[], Mapping[str, str]],
        ports: Ports,
        clock: StackClock,
        application: "Callable[[], App | None]",
        write: Print,
    ) -> None:
        self.activity = Activity()
        self.troubles: Callable[[], Sequence[str]] = list
        self._environment = environment
        self._datastore = f"{HOST}:{ports.grpc}"
        self._clock = ApplicationClock(clock)
        self._application = application
        self._write = write
        self._pages = MountedApp(self._make)

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes of the pages."""
        return self._pages.routes("/console")

    async def stop(self, application: web.Application) -> None:
        """End the pages that wait for news."""
        await self._pages.stop(application)

    def print(self, name: str, line: str) -> None:
        """Note a line of a function, and write it."""
        self.activity.note_line(line)
        self._write(name, line)

    def _make(self) -> ASGIApp:
        from adjourn_local.console.opening import laptop  # noqa: PLC0415 - for who looks at it
        from adjourn_local.console.site import console  # noqa: PLC0415

        app = self._application()
        deployment = laptop(self._environment(), app, self._clock, self._datastore, self.activity)
        return console(replace(deployment, troubles=self.troubles))
