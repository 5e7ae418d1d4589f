"""The deployment that a command works on: a named one, else the stack that runs here."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from adjourn.environment import variable
from adjourn_local.errors import StackError, UsageError
from adjourn_local.http.reachable import why_unreachable
from adjourn_local.runtime.running_stack import RunningStack, find
from adjourn_local.runtime.variables import variables
from adjourn_local.terminal import complain

_PROJECT = variable("project")
_ADDRESSES = tuple(map(variable, ("location", "deferred_url", "queryiter_url", "cron_url")))
_LOCAL = (variable("tasks_host"), variable("scheduler_host"), "DATASTORE_EMULATOR_HOST")


def add_deployment(parser: argparse.ArgumentParser) -> None:
    """Add `--project` and `--stack`."""
    parser.add_argument(
        "--project",
        default=argparse.SUPPRESS,
        metavar="ID",
        help="the deployment in this project, which the environment names, and no laptop stack",
    )
    add_stack_port(parser)


def add_stack_port(parser: argparse.ArgumentParser) -> None:
    """Add `--stack`."""
    # Without a default: the parser of an action must not hide what came before its name.
    parser.add_argument(
        "--stack",
        type=int,
        default=argparse.SUPPRESS,
        metavar="PORT",
        help="the laptop stack with this port, if several run here",
    )


@contextmanager
def connected(options: argparse.Namespace) -> Iterator[None]:
    """Lead this process to the deployment that a command works on.

    Afterwards `options.running` is the laptop stack that it is, or None.

    Raises:
        UsageError: There are several, or the options and the environment contradict each other.
    """
    project, port = getattr(options, "project", None), getattr(options, "stack", None)
    if project is not None and port is not None:
        raise UsageError("--project and --stack contradict each other.")
    if project is not None:
        stack, wanted = None, in_project(project, os.environ)
    else:
        stack = choose(os.environ, find(Path()), port)
        wanted = stack.environment if stack else {}
    if stack and Path(stack.folder) != Path.cwd():
        complain(f"the laptop stack with {stack}")
    options.running = stack
    with variables(wanted):
        yield


def in_project(project: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variable that leads to a project.

    Raises:
        UsageError: The environment names another, or a laptop stack.
    """
    named = environ.get(_PROJECT, "")
    if named not in {"", project}:
        raise UsageError(f"--project is {project}, but {_PROJECT} is {named}; which is meant?")
    if local := [name for name in _LOCAL if environ.get(name)]:
        raise UsageError(
            f"--project is {project}, but {local[0]} leads to a laptop stack; unset it."
        )
    return {_PROJECT: project}


def choose(
    environ: Mapping[str, str], stacks: Sequence[RunningStack], port: int | None
) -> RunningStack | None:
    """Return the stack that is meant; None if it is what the environment names, or nothing.

    Args:
        environ: The environment, which may name a deployment.
        stacks: The stacks that run here.
        port: A port of the stack that is meant.

    Raises:
        UsageError: It is not clear which one is meant.
    """
    if port is not None:
        return _with_port(stacks, port)
    named = [name for name in (_PROJECT, *_ADDRESSES) if environ.get(name)]
    stack = _led_to(environ, stacks)
    if stack is None and named and stacks:
        project = environ.get(_PROJECT)
        raise UsageError(
            f"The environment names a deployment ({named[0]}={environ[named[0]]}), and here runs a"
            f" laptop stack. Say which: --project {project or 'ID'} or"
            f" --stack {stacks[0].ports[0]}.\n{_listed(stacks)}"
        )
    return stack or _only(stacks)


def _led_to(environ: Mapping[str, str], stacks: Sequence[RunningStack]) -> RunningStack | None:
    """Return the stack to which an environment leads."""
    for stack in stacks:
        if all(environ.get(name) == stack.environment.get(name) for name in _ADDRESSES):
            return stack
    return None


def _with_port(stacks: Sequence[RunningStack], port: int) -> RunningStack:
    """Return the stack that has a port.

    Raises:
        UsageError: None has.
    """
    for stack in stacks:
        if port in stack.ports:
            return stack
    running = _listed(stacks) or "  none"
    raise UsageError(f"No laptop stack with the port {port} runs here; there are:\n{running}")


def _only(stacks: Sequence[RunningStack]) -> RunningStack | None:
    """Return the only stack; None if there is none.

    Raises:
        UsageError: There are several.
    """
    if len(stacks) > 1:
        raise UsageError(
            f"Several laptop stacks run here; say which with --stack:\n{_listed(stacks)}"
        )
    return stacks[0] if stacks else None


def check_emulators(*names: str) -> None:
    """Make sure that the local servers are there that the environment leads to.

    Google's clients would try for a long time, and then not say where.

    Args:
        names: Variables of the environment, such as DATASTORE_EMULATOR_HOST.

    Raises:
        StackError: Nothing listens at an address.
    """
    for name in names:
        address = os.environ.get(name, "")
        reason = why_unreachable(address)
        if reason:
            raise StackError(
                f"Nothing answers at {address}, where {name} leads ({reason}). Start the stack with"
                f" `adjourn up`, or unset {name}."
            )


def running(options: argparse.Namespace) -> RunningStack:
    """Return the stack that runs here, whatever deployment the environment names.

    Raises:
        UsageError: None does, or it is not clear which one is meant.
    """
    stack = find_running(options)
    if stack is None:
        raise UsageError(
            "No laptop stack that was started here or in a folder above runs: `adjourn up`."
        )
    return stack


def find_running(options: argparse.Namespace) -> RunningStack | None:
    """Return the stack as `running` does; None if none runs here."""
    stacks, port = find(Path()), getattr(options, "stack", None)
    if port is not None:
        return _with_port(stacks, port)
    return _led_to(os.environ, stacks) or _only(stacks)


def _listed(stacks: Sequence[RunningStack]) -> str:
    return "\n".join(f"  {stack}" for stack in stacks)
