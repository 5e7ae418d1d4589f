"""A service of the user's own on Cloud Run: whether it is there, and whom it lets in."""

from collections.abc import Iterator, Mapping

from adjourn.settings import Platform
from adjourn_local.doctor.finding import Deployment, Finding, capitalized, fault
from adjourn_local.doctor.functions import (
    NAMES,
    SUBJECT,
    Service,
    callers_of,
    elsewhere,
    everybody,
    is_on_cloud_run,
    is_own,
    service_at,
    uninvited,
    updating,
)
from adjourn_local.doctor.google_rest import GoogleRest


def find(deployment: Deployment, google: GoogleRest) -> Service | None:
    """Return the service, None if its address does not tell its name or nothing is there.

    Raises:
        NotAskedError: Cloud Run could not be asked.
    """
    served = tuple(name for name in NAMES if is_own(deployment, name))
    return service_at(deployment, google, _origin(deployment), served)


def missing(deployment: Deployment) -> list[Finding]:
    """Return that nothing is where a service should be; nothing if that cannot be told."""
    url = _origin(deployment)
    if not is_on_cloud_run(url):
        return []
    fix = "gcloud run deploy, or correct ADJOURN_SERVICE_URL"
    return [fault(SUBJECT, f"There is no service of Cloud Run at {url}.", fix)]


def faults(deployment: Deployment, google: GoogleRest, service: Service) -> Iterator[Finding]:
    """Yield what is wrong with it.

    Raises:
        NotAskedError: Cloud Run could not be asked.
    """
    yield from _variables(deployment, service)
    if _origin(deployment) not in service.addresses:
        yield elsewhere(service, _origin(deployment))
    policy = google.policy("run", f"v2/{service.path}", "GET") or {}
    yield from _admission(deployment, policy, service)


def _origin(deployment: Deployment) -> str:
    settings = deployment.settings
    return settings.audience_of(f"{settings.service_url}/")


def _variables(deployment: Deployment, service: Service) -> Iterator[Finding]:
    url, own = deployment.settings.service_url, service.environment.get("ADJOURN_SERVICE_URL", "")
    if own.rstrip("/") != url:
        yield fault(
            SUBJECT,
            f"Tasks go to {url}; ADJOURN_SERVICE_URL of {service.title} is {own or 'not set'}.",
            f"terraform output -raw service_environment, or: "
            f"{updating(service, 'ADJOURN_SERVICE_URL', url)}",
        )
    wanted = deployment.settings.accepted_callers()
    for caller in sorted(wanted - {*callers_of(deployment, service)}):
        yield fault(
            SUBJECT,
            f"{capitalized(service.title)} refuses {caller}, which ADJOURN_CALLERS lacks there.",
            "terraform output -raw service_environment, or: "
            + updating(service, "ADJOURN_CALLERS", ",".join(sorted(wanted))).replace(
                "vars=", "vars=^;^"
            ),
        )


def _admission(
    deployment: Deployment, policy: Mapping[str, list[str]], service: Service
) -> Iterator[Finding]:
    """Yield how Cloud Run and adjourn disagree about who checks the callers."""
    open_doors = list(everybody(policy, service))
    if service.environment.get("ADJOURN_PLATFORM", "") == Platform.CLOUD_RUN_IAM:
        yield from open_doors
    elif not open_doors:
        yield fault(
            SUBJECT,
            f"Cloud Run removes the signatures of tokens for {service.title}, which checks them.",
            updating(service, "ADJOURN_PLATFORM", Platform.CLOUD_RUN_IAM),
        )
    else:
        return  # who calls is for adjourn to check
    yield from uninvited(policy, service, callers_of(deployment, service))
