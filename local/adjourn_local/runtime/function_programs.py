"""The programs of the three functions: commands and environment variables."""

import os
import socket
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adjourn_local.deployed import main_file
from adjourn_local.runtime import activation
from adjourn_local.runtime.debugging import NOT_AT_ALL, Debugging
from adjourn_local.runtime.function_process import Program

NAMES = ("deferred", "cron", "queryiter")


@dataclass(frozen=True, slots=True)
class Staged:
    """The functions as `adjourn package` has staged them.

    Attributes:
        folder: Holds one folder for each function.
        programs: The `bin` folder of a virtual environment with the functions' requirements.
    """

    folder: Path
    programs: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """How the functions of an application are started.

    Attributes:
        spec: The import path of the application, `package.module:app`.
        source: The folder from which it is imported.
        staged: The staged functions to start; None for those that are installed.
        allowed_hosts: Host names in small letters, besides those of loopback, under which functions
            that are not staged are served.
        debugging: How they are debugged.
        verbose: Whether those that are not staged log also what goes well.
    """

    spec: str
    source: Path
    staged: Staged | None = None
    allowed_hosts: Collection[str] = ()
    debugging: Debugging = NOT_AT_ALL
    verbose: bool = False

    def environment(self, stack: Mapping[str, str]) -> Mapping[str, str]:
        """Return a function's environment: this process's, the application and the stack's."""
        paths = [str(self.source.resolve()), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            **stack,
            **self.debugging.environment(),
            "ADJOURN_APP": self.spec,
            # As Terraform sets it: gunicorn takes SCRIPT_NAME and the like from no peer.
            "FORWARDED_ALLOW_IPS": "255.255.255.255",
            "PYTHONPATH": "" if self.staged else os.pathsep.join(filter(None, paths)),
        }

    def program(
        self, name: str, environment: Mapping[str, str], listener: socket.socket, clock: Path
    ) -> Program:
        """Return the program of one function.

        Args:
            name: The function's name.
            environment: Its environment variables.
            listener: The listening socket that it takes over.
            clock: The file through which installed functions follow the stack's clock; it is in a
                folder of its own.
        """
        # gunicorn puts its control socket here; by default all functions would share one.
        runtime = tempfile.mkdtemp(prefix=f"{name}-", dir=clock.parent)
        port = str(listener.getsockname()[1])
        framework = ("--target", name, "--host", "127.0.0.1", "--port", port)
        return Program(
            name=name,
            command=[*self._command(name, clock), *framework],
            environment={**environment, "PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": runtime},
            folder=self.staged.folder / name if self.staged else None,
            listener=listener,
            has_terminal=self.debugging.in_terminal,
        )

    def _command(self, name: str, clock: Path) -> Sequence[str]:
        sockets = ("{listener}", "{channel}")
        if self.staged:
            # -P: without the folder of this package, whose modules would hide others.
            python = str(self.staged.programs / "python")
            return python, "-P", activation.__file__, *sockets, "--source", "main.py"
        program = (sys.executable, "-m", "adjourn_local.runtime.follower", *sockets)
        own = (str(clock), ",".join(self.allowed_hosts), *self.debugging.arguments(name, NAMES))
        more = (str(int(self.verbose)), name, "--source", str(main_file(name)))
        return *program, *own, *more
