"""The command `adjourn console`: show a deployment in the browser."""

import argparse
import os

import uvicorn

from adjourn_local.commands import Add
from adjourn_local.commands.application import add_app, chosen, import_app
from adjourn_local.commands.arguments import add_allowed_hosts, count
from adjourn_local.commands.output import say
from adjourn_local.console.gate import gated
from adjourn_local.console.opening import project
from adjourn_local.console.rendering import PREFIX
from adjourn_local.console.site import console
from adjourn_local.runtime import ports


def add(add: Add) -> None:
    """Declare the command and its options."""
    parser = add("console", help="show a deployment in the browser, on loopback")
    parser.set_defaults(run=run)
    add_app(parser)
    parser.add_argument("--port", type=count, default=8720, help="default: %(default)s")
    add_allowed_hosts(parser)
    parser.add_argument("--write", action="store_true", help="allow changes; each is written down")


def run(options: argparse.Namespace) -> int:
    """Serve the console until Ctrl-C.

    Raises:
        AdjournError: A setting or the application is invalid.
    """
    named, folder = chosen(options)
    app = import_app(named, folder) if named else None
    shown = project(os.environ, app, is_writable=options.write)
    say(
        f"The console of {shown.settings.project} is at http://{ports.HOST}:{options.port}{PREFIX}/"
    )
    site = gated(console(shown), options.allow_host)
    uvicorn.run(site, host=ports.HOST, port=options.port, log_level="warning")
    return 0
