"""What ViUR needs to be imported on a machine that is not Google's: credentials and a Datastore.

ViUR up to 3.7 speaks to Datastore's JSON interface and knows no emulator, so its own session is led
to the laptop stack. From 3.8 on it uses Google's client, which the environment leads there.
"""

import contextlib
import importlib
import json
import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

PROJECT = "adjourn-local"


def prepare(environ: MutableMapping[str, str]) -> None:
    """Let ViUR be imported in this process; the stack's ports follow from the environment."""
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    def default(*_args, **_kwargs):
        return AnonymousCredentials(), PROJECT

    google.auth.default = default
    if "DATASTORE_EMULATOR_HOST" not in environ:
        from adjourn_local.runtime.stack import Stack

        ports = Stack(None).ports
        environ |= ports.environment()
        environ["TEST_STACK_PORTS"] = json.dumps({n: getattr(ports, n) for n in ports.__slots__})
    environ.setdefault("GAE_ENV", "localdev")
    # ViUR takes the current folder for the project's and wants its own files not to be below it.
    with contextlib.chdir(Path(__file__).parent):
        core = importlib.import_module("viur.core")
    core.conf.skeleton_search_path = [*core.conf.skeleton_search_path, "/"]
    logging.getLogger().setLevel(logging.WARNING)  # ViUR has set it to DEBUG
    _lead_older_sessions(environ)


def _lead_older_sessions(environ: MutableMapping[str, str]) -> None:
    try:
        from viur.datastore import transport
    except ModuleNotFoundError:
        return  # from 3.8 on
    from google.auth.credentials import AnonymousCredentials
    from requests.adapters import HTTPAdapter

    keys_url = urlsplit(environ["ADJOURN_KEYS_URL"])

    class ToStack(HTTPAdapter):
        def send(self, request, **kwargs):
            request.url = request.url.replace(
                "https://datastore.googleapis.com", f"http://{keys_url.netloc}"
            )
            return super().send(request, **kwargs)

    transport._http_internal.credentials = AnonymousCredentials()
    transport._http_internal.mount("https://datastore.googleapis.com", ToStack())


def is_older() -> bool:
    """Whether this is ViUR up to 3.7."""
    return "viur.datastore.transport" in sys.modules


def in_request(function):
    """Run a function as ViUR's development server runs a request, then what it has deferred.

    That is the synchronous form of ViUR's tasks: the last one first, failures logged and forgotten.
    """
    from viur.core import current

    headers = {}
    request = SimpleNamespace(pendingTasks=[], request=SimpleNamespace(headers=headers))
    token = current.request.set(request)
    data_token = current.request_data.set({})
    failed = []
    try:
        result = function()
        while request.pendingTasks:
            task = request.pendingTasks.pop()
            try:
                task()
            except Exception as error:  # noqa: BLE001 - as ViUR does
                failed.append(error)
        return result, failed
    finally:
        current.request.reset(token)
        current.request_data.reset(data_token)
