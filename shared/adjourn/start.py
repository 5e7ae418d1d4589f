"""Start a function's process, or say on one screen why it cannot start."""

import os

from adjourn.app import load_app
from adjourn.errors import AdjournError
from adjourn.log import configure
from adjourn.wiring import Wiring


def start() -> Wiring:
    """Set up logging and return the working parts of the application that `ADJOURN_APP` names.

    Raises:
        SystemExit: The application or a setting is wrong; the message says what to mend.
    """
    configure()
    try:
        wiring = load_app(os.environ).wiring()
        wiring.check()
    except AdjournError as error:
        raise SystemExit(str(error)) from None
    return wiring
