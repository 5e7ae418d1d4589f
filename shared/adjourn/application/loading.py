"""Load the application that a process serves."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping

from adjourn.app import App
from adjourn.application.importing import loading
from adjourn.errors import ConfigurationError


def load_app(environ: Mapping[str, str] = os.environ) -> App:
    """Return the application that `ADJOURN_APP=package.module:app` names.

    Raises:
        ConfigurationError: It cannot be found; the message says what to change.
    """
    spec = environ.get("ADJOURN_APP", "")
    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute) or module_name.startswith("."):
        raise ConfigurationError(
            f"ADJOURN_APP={spec!r} must be package.module:app, the module and the name of its App."
        )
    try:
        with loading():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module itself exists, but not one that it imports
        raise ConfigurationError(
            f"ADJOURN_APP={spec!r}: there is no module {error.name!r}; is its folder on PYTHONPATH?"
        ) from None
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        raise ConfigurationError(
            f"ADJOURN_APP={spec!r}: {module_name} has no adjourn.App named {attribute!r}."
        )
    return app
