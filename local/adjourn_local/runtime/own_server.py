"""An application's own server in the place of the functions: the stack calls it, and runs nothing.

Run as a program, this prints what an application declares, in the process of its own in which that
is found out.
"""

import asyncio
import datetime as dt
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from adjourn_local.errors import StackError
from adjourn_local.runtime.activation import declarations
from adjourn_local.runtime.declarations import Declared
from adjourn_local.runtime.function_programs import NAMES, Programs
from adjourn_local.runtime.functions import Generation
from adjourn_local.runtime.import_errors import describe

_LOAD_TIMEOUT = 60.0


class OwnServer:
    """Does for an own server what `Functions` does for functions.

    Args:
        programs: How the application is loaded.

    Attributes:
        generation: What the application declares; None before the first time.
        outdated: Why that is not what is wanted; "" if it is.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.generation: Generation | None = None
        self.outdated = ""

    async def open(self, sockets: Mapping[str, socket.socket], clock: Path) -> None:
        """Do nothing, since nothing is started."""

    async def load(self, environments: Mapping[str, Mapping[str, str]]) -> Generation:
        """Find out what the application declares.

        Args:
            environments: The environment variables of each function.

        Raises:
            StackError: The application cannot be loaded; the message says why.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adjourn_local.runtime.own_server"),
            env=environments[NAMES[0]],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_LOAD_TIMEOUT):
                report, errors = await process.communicate()
        except TimeoutError:
            text = f"The application was not loaded within {_LOAD_TIMEOUT:.0f} s."
            raise StackError(text) from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise StackError(errors.decode(errors="replace").strip())
        declared = Declared.read(json.loads(report.splitlines()[-1]))
        return Generation(dt.datetime.now().astimezone(), environments, {}, declared)

    async def serve(self, generation: Generation) -> None:
        """Note what the application declares; the server itself loads new code, or does not."""
        self.generation, self.outdated = generation, ""

    def troubles(self) -> list[str]:
        """Return what is wrong with what the application declares, in sentences."""
        return [f"What the application declares is older: {self.outdated}"] if self.outdated else []

    def interrupt_debugger(self) -> bool:
        """Return False, as there is no debugger of the stack."""
        return False

    def terminate(self) -> None:
        """Do nothing; the server goes on."""

    async def stop(self) -> None:
        """Do nothing; the server goes on."""


def _report() -> None:
    from adjourn.application.loading import load_app  # noqa: PLC0415 - not in the stack's process

    try:
        load_app(os.environ)
    except BaseException as error:  # noqa: BLE001 - whatever the application raises
        sys.exit(describe(error, os.environ["ADJOURN_APP"], Path.cwd()))
    print(json.dumps(declarations()))  # noqa: T201 - to the stack


if __name__ == "__main__":
    _report()
