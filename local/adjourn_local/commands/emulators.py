"""The command `adjourn emulators`: the stack without an application, for any client."""

from adjourn_local.commands import Add, up
from adjourn_local.commands.up_options import add_servers
from adjourn_local.runtime.ports import HOST


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add(
        "emulators", help="run Cloud Tasks, Cloud Scheduler and Datastore alone until Ctrl-C"
    )
    parser.set_defaults(
        run=up.run, app="", serve="", debug=False, debugpy=0, reload=False, enforce_iam=False
    )
    add_servers(parser)
    parser.add_argument(
        "--bind",
        default=HOST,
        metavar="ADDRESS",
        help="the address to listen at; 0.0.0.0 lets everybody in who reaches this machine, which"
        " is for containers (default: %(default)s)",
    )
