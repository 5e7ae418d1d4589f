"""All checks of a deployment, in the order in which a fault explains those after it."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from adjourn import App
from adjourn_local.doctor import (
    datastore,
    functions,
    grants,
    jobs,
    logs,
    network,
    own_service,
    queues,
    settings,
)
from adjourn_local.doctor.finding import (
    Deployment,
    Finding,
    NotAskedError,
    State,
    summed_up,
    unknown,
)
from adjourn_local.doctor.google_rest import GoogleRest

_OWN = (
    "A service of your own serves them (ADJOURN_SERVICE_URL), and no service of Cloud Run was found"
    " by that address."
)
_LOCAL = "The laptop stack has no Cloud Run and no IAM of its own to ask; see --enforce-iam."


def examine(
    load: Callable[[], App],
    source: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    google: GoogleRest | None = None,
) -> Iterator[Finding]:
    """Yield what is found, as it is found.

    Args:
        load: Imports the application.
        source: The folder from which it is imported.
        environ: Has the settings.
        google: Asks Google's administrative services; if None, with the default credentials, or
            not at all on a laptop.
    """
    deployment, faults = settings.read(load, environ)
    yield from faults
    if deployment is None:
        text = "Nothing else was looked at: the settings and the application come first."
        yield unknown("everything else", text)
        return
    yield Finding(settings.SUBJECT, State.OK, "All settings are there and agree.")
    asked = google or (None if deployment.is_local else GoogleRest())
    yield from network.check(deployment)
    yield from logs.check(deployment, source)
    yield from queues.check(deployment)
    yield from jobs.check(deployment, deployment.app.wiring().adapters.jobs)
    yield from datastore.check(deployment, asked)
    yield from _deployed(deployment, asked)


def _deployed(deployment: Deployment, google: GoogleRest | None) -> Iterator[Finding]:
    """Yield what is found of the functions and of what their accounts may do."""
    if google is None:
        yield unknown(functions.SUBJECT, _LOCAL)
        yield unknown(grants.SUBJECT, _LOCAL)
        return
    names = [name for name in functions.NAMES if not functions.is_own(deployment, name)]
    services: list[functions.Service] = []
    found: list[Finding] = []
    try:
        if len(names) < len(functions.NAMES):
            _look_at_own(deployment, google, services, found)
        for name in names:
            service = functions.find(deployment, google, name)
            if service is None:
                found.append(functions.missing(deployment, name))
            else:
                services.append(service)
                found += functions.faults(deployment, google, service)
    except NotAskedError as error:
        yield unknown(functions.SUBJECT, str(error))
        text = "It takes Cloud Run's answer to know which accounts the functions have."
        yield unknown(grants.SUBJECT, text)
        return
    if not services and not found:
        yield unknown(functions.SUBJECT, _OWN)
        yield unknown(grants.SUBJECT, _OWN)
        return
    fine = "The functions are there, for their callers alone."
    yield from summed_up(functions.SUBJECT, found, fine)
    yield from grants.check(deployment, google, services)


def _look_at_own(
    deployment: Deployment,
    google: GoogleRest,
    services: list[functions.Service],
    found: list[Finding],
) -> None:
    """Add what is found of a service of the user's own."""
    own = own_service.find(deployment, google)
    if own is None:
        found += own_service.missing(deployment)
    else:
        services.append(own)
        found += own_service.faults(deployment, google, own)
