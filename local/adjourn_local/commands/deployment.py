"""The deployment that a command works on: the one that is named, else the stack that runs here."""

import os
import sys
from pathlib import Path

from adjourn.environment import variable
from adjourn_local.errors import StackError, UsageError
from adjourn_local.http.reachable import why_unreachable
from adjourn_local.runtime.running_stack import RunningStack, find
from adjourn_local.terminal import complain

_REQUIRED = ("location", "deferred_url", "queryiter_url", "cron_url", "service_account")


def connect() -> None:
    """Lead this process to the stack that runs here, unless the environment names a deployment.

    Which deployment a command works on is said on stderr, and the two are never mixed.
    """
    found = find(Path())
    if found is None:
        return
    folder, stack = found
    named = [name for field in _REQUIRED if (name := variable(field)) in os.environ]
    if named:
        if os.environ[named[0]] != stack.environment.get(named[0]):
            complain(
                f"the environment names a deployment ({named[0]}), and the stack of {folder} is"
                " not looked at."
            )
        return
    complain(f"the stack of {folder} ({stack.app}).")
    os.environ.update(stack.environment)
    os.environ.setdefault("ADJOURN_APP", stack.app)
    if stack.source not in sys.path:
        sys.path.insert(0, stack.source)


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


def running() -> RunningStack:
    """Return the stack that runs here.

    Raises:
        UsageError: None does.
    """
    found = find(Path())
    if found is None:
        raise UsageError(
            "No stack runs with a state folder .adjourn here or in a folder above; start one with"
            " `adjourn up`."
        )
    return found[1]
