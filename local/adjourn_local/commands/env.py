"""The command `adjourn env`: the variables that lead an own process to the stack that runs."""

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adjourn_local.commands import Add
from adjourn_local.commands.deployment import add_stack_port, running
from adjourn_local.errors import UsageError

_HEAD = "# Written by `adjourn up`, and removed when it stops."


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add("env", help="print the variables that lead to the running stack")
    parser.set_defaults(run=run)
    add_stack_port(parser)
    parser.add_argument(
        "--shell", choices=sorted(_FORMS), default="bash", help="default: %(default)s"
    )


def run(options: argparse.Namespace) -> int:
    """Print the variables and return the exit status.

    Raises:
        UsageError: No stack runs here, or several do.
    """
    print(written(running(options).environment, options.shell), end="")
    return 0


def check_file(path: Path) -> None:
    """Refuse to overwrite a file that `adjourn up` has not written.

    Raises:
        UsageError: Somebody else wrote it, or it cannot be read.
    """
    try:
        is_ours = not path.exists() or path.read_text(encoding="utf-8").startswith(_HEAD)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    if not is_ours:
        raise UsageError(f"{path} is not a file of `adjourn up`; name another.")


@contextmanager
def variables_file(path: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Keep a file of variables while the context is open.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        path.write_text(f"{_HEAD}\n{written(environment, 'dotenv')}", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}.") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def written(environment: Mapping[str, str], shell: str) -> str:
    """Return variables as a shell or a file reads them."""
    form = _FORMS[shell]
    return "".join(f"{form(name, value)}\n" for name, value in environment.items())


def _fish(value: str) -> str:
    """Quote a text as fish does: within quotes, a backslash escapes a quote and a backslash."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _powershell(name: str, value: str) -> str:
    quoted = value.replace("'", "''")
    return f"$env:{name} = '{quoted}'"


_FORMS: Mapping[str, Callable[[str, str], str]] = {
    "bash": lambda name, value: f"export {name}={shlex.quote(value)}",
    "fish": lambda name, value: f"set -gx {name} {_fish(value)}",
    "powershell": _powershell,
    "dotenv": lambda name, value: f"{name}={shlex.quote(value)}",
}
