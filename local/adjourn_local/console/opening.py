"""Open a console on a deployment: connect the services, and find out in whose name it works."""

import getpass
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from google.auth.credentials import AnonymousCredentials
from google.cloud.datastore import Client
from google.cloud.datastore.client import DATASTORE_EMULATOR_HOST

from adjourn import App
from adjourn.clock import Clock
from adjourn.concurrency import PerProcess
from adjourn.gcp import google_adapters
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.ports import Adapters
from adjourn.settings import LOOPBACK, Settings
from adjourn_local.clients.stack_control import StackControl
from adjourn_local.console.activity import Activity
from adjourn_local.console.audit import Audit
from adjourn_local.console.costs import counted
from adjourn_local.console.deployment import Deployment
from adjourn_local.console.entities import Entities
from adjourn_local.console.records import Records


def project(environ: Mapping[str, str], app: App | None, *, is_writable: bool) -> Deployment:
    """Return the deployment that an environment names; nothing is connected yet.

    Args:
        environ: Has the settings.
        app: The application; None if it is not known.
        is_writable: Whether the console may change anything.

    Raises:
        ConfigurationError: The settings are wrong.
    """
    settings = Settings.from_env(environ)
    client = PerProcess(lambda: datastore_client(settings))
    who = account(client) if is_writable else ""
    return _deployment(environ, app, google_adapters(settings, None), client, who)


def laptop(
    environ: Mapping[str, str], app: App | None, clock: Clock, datastore: str, activity: Activity
) -> Deployment:
    """Return the laptop stack in this process as a deployment; changes are allowed.

    Args:
        environ: That of an application outside of it.
        app: The application.
        clock: The stack's clock.
        datastore: `host:port` of its Datastore. This process need not have the variable that leads
            Google's client there.
        activity: What the stack has seen.
    """
    settings = Settings.from_env(environ)
    client = PerProcess(lambda: _client_of(settings, datastore))
    adapters = replace(
        google_adapters(settings, None),
        store=DatastoreStore(client),
        queries=DatastoreQueries(client),
        clock=clock,
    )
    deployment = _deployment(environ, app, adapters, client, _machine_user())
    return replace(deployment, activity=activity, records=Records(client, is_here=True))


def _client_of(settings: Settings, datastore: str) -> Client:
    """Return a client of the Datastore at `host:port`, whatever the variable says."""
    # Google's client refuses credentials where the variable is set, and wants some elsewhere.
    has_variable = DATASTORE_EMULATOR_HOST in os.environ
    credentials = None if has_variable else AnonymousCredentials()
    client = Client(settings.project, database=settings.database or None, credentials=credentials)
    client._base_url = f"http://{datastore}"  # noqa: SLF001 - as the client itself does
    return client


def _deployment(
    environ: Mapping[str, str],
    app: App | None,
    adapters: Adapters,
    client: Callable[[], Client],
    who: str,
) -> Deployment:
    counting, settings = counted(adapters), Settings.from_env(environ)
    return Deployment(
        settings=settings,
        adapters=counting,
        records=Records(client),
        entities=Entities(client),
        tasks_client=CloudTaskQueue(settings).client,
        environ=environ,
        audit=Audit(adapters=counting, who=who),
        app=app,
        control=_control(settings),
        activity=None,
    )


def _control(settings: Settings) -> StackControl | None:
    """Return the control of a laptop stack, which signs its tokens on this machine."""
    keys = urlsplit(settings.keys_url)
    is_laptop = bool(settings.tasks_host) and keys.hostname in LOOPBACK
    return StackControl(f"{keys.scheme}://{keys.netloc}") if is_laptop else None


def account(client: Callable[[], Client]) -> str:
    """Return the account of a client's credentials, or else the user of this machine."""
    credentials: Any = client()._credentials  # noqa: SLF001 - nothing else has them
    for name in ("service_account_email", "account"):
        email = getattr(credentials, name, "")
        if email and email != "default":
            return str(email)
    return _machine_user()


def _machine_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "unknown"
