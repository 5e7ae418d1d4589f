"""The deployed functions: whether they are there, agree with the settings and are not public."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn_local.doctor.finding import Deployment, Finding, capitalized, fault
from adjourn_local.doctor.google_rest import GoogleRest

SUBJECT = "functions"
NAMES = ("deferred", "cron", "queryiter")

# https://cloud.google.com/run/docs/triggering/https-request#deterministic
_URL = re.compile(r"https://(?P<name>.+)-[0-9]+\.(?P<region>[a-z0-9-]+)\.run\.app")
_EVERYBODY = {"allUsers", "allAuthenticatedUsers"}
_INVOKER = "roles/run.invoker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Cloud Run service: a deployed function, or one of the user's own that serves all three.

    Attributes:
        title: What it is called, such as `the cron function`.
        functions: Which functions it serves: `deferred`, `cron`, `queryiter`.
        path: The full name of its Cloud Run service.
        account: The account that it runs as.
        environment: Its variables.
        addresses: The addresses at which it answers.
        checks_invokers: Whether Cloud Run asks IAM who may call it.
    """

    title: str
    functions: tuple[str, ...]
    path: str
    account: str
    environment: Mapping[str, str]
    addresses: frozenset[str]
    checks_invokers: bool


def url_of(deployment: Deployment, name: str) -> str:
    """Return the address of a function, as the settings have it."""
    url: str = getattr(deployment.settings, f"{name}_url")
    return url


def is_own(deployment: Deployment, name: str) -> bool:
    """Whether a service of the user's own serves a function."""
    own = deployment.settings.service_url
    return bool(own) and url_of(deployment, name).startswith(f"{own}/")


def find(deployment: Deployment, google: GoogleRest, name: str) -> Service | None:
    """Return a function's service, None if there is none or its address does not tell its name.

    Raises:
        NotAskedError: Cloud Run could not be asked.
    """
    return service_at(deployment, google, url_of(deployment, name), (name,))


def service_at(
    deployment: Deployment, google: GoogleRest, url: str, functions: tuple[str, ...]
) -> Service | None:
    """Return the service at a URL, None if there is none or its address does not tell its name.

    Raises:
        NotAskedError: Cloud Run could not be asked.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return None
    place = f"projects/{deployment.settings.project}/locations/{found['region']}"
    path = f"{place}/services/{found['name']}"
    service = google.get("run", f"v2/{path}")
    is_one = len(functions) == 1
    title = f"the {functions[0]} function" if is_one else f"the service {found['name']}"
    return None if service is None else _read(title, functions, path, service)


def _read(title: str, functions: tuple[str, ...], path: str, service: Mapping[str, Any]) -> Service:
    template = service.get("template", {})
    container = (template.get("containers") or [{}])[0]
    return Service(
        title=title,
        functions=functions,
        path=path,
        account=template.get("serviceAccount", ""),
        environment={each["name"]: each.get("value", "") for each in container.get("env", [])},
        addresses=frozenset({service.get("uri", ""), *service.get("urls", [])}),
        # https://cloud.google.com/run/docs/authenticating/public#invoker_check
        checks_invokers=not service.get("invokerIamDisabled", False),
    )


def is_on_cloud_run(url: str) -> bool:
    """Whether an address tells which service of Cloud Run is there."""
    return _URL.fullmatch(url) is not None


def missing(deployment: Deployment, name: str) -> Finding:
    """Return that a function is not there."""
    url = url_of(deployment, name)
    if not _URL.fullmatch(url):
        text = f"The address of the {name} function, {url}, does not name a Cloud Run service."
        fix = f"set ADJOURN_{name.upper()}_URL as terraform output environment has it"
        return fault(SUBJECT, text, fix)
    text = f"There is no {name} function at {url}."
    return fault(SUBJECT, text, "./deploy.sh deploy")


def faults(deployment: Deployment, google: GoogleRest, service: Service) -> Iterator[Finding]:
    """Yield what is wrong with a function.

    Raises:
        NotAskedError: Cloud Run could not be asked.
    """
    yield from _audience(deployment, service)
    policy = google.policy("run", f"v2/{service.path}", "GET") or {}
    yield from everybody(policy, service)
    yield from uninvited(policy, service, callers_of(deployment, service))


def _audience(deployment: Deployment, service: Service) -> Iterator[Finding]:
    (name,) = service.functions
    variable = f"ADJOURN_{name.upper()}_URL"
    url, own = url_of(deployment, name), service.environment.get(variable, "")
    if own.rstrip("/") != url:
        yield fault(
            SUBJECT,
            f"Tokens for {service.title} are for {url}; it accepts those for {own or 'nobody'}.",
            f"terraform apply, or: {updating(service, variable, url)}",
        )
    elif url not in service.addresses:
        yield elsewhere(service, url)


def elsewhere(service: Service, url: str) -> Finding:
    """Return that a service has another address than the settings say."""
    text = f"{capitalized(service.title)} does not answer at {url}."
    return fault(SUBJECT, text, "terraform apply, then: terraform output environment")


def updating(service: Service, variable: str, value: str) -> str:
    """Return the command that sets a variable of a service."""
    return f"gcloud run services update {_service(service)} --update-env-vars={variable}={value}"


def callers_of(deployment: Deployment, service: Service) -> list[str]:
    """Return the accounts whose tokens a service accepts."""
    callers = service.environment.get("ADJOURN_CALLERS", "") or deployment.settings.service_account
    return [each.strip() for each in callers.split(",") if each.strip()]


def uninvited(
    policy: Mapping[str, list[str]], service: Service, callers: Iterable[str]
) -> Iterator[Finding]:
    """Yield the callers that may not invoke a service."""
    members = policy.get(_INVOKER, [])
    for caller in callers:
        if f"serviceAccount:{caller}" not in members:
            yield fault(
                SUBJECT,
                f"{caller} may not call {service.title}.",
                f"terraform apply, or: gcloud run services add-iam-policy-binding"
                f" {_service(service)} --member=serviceAccount:{caller} --role={_INVOKER}",
            )


def everybody(policy: Mapping[str, list[str]], service: Service) -> Iterator[Finding]:
    """Yield how a function is open to everybody, by whichever role and under whichever condition.

    With ADJOURN_PLATFORM=cloud-run-iam, nobody else checks a signature.
    """
    if not service.checks_invokers:
        yield fault(
            SUBJECT,
            f"Anybody may call {service.title}: Cloud Run does not check who calls.",
            f"gcloud run services update {_service(service)} --invoker-iam-check",
        )
    for granted, members in sorted(policy.items()):
        role, _, condition = granted.partition(" ")
        for member in sorted(_EVERYBODY & set(members)):
            every = " --all" if condition else ""
            yield fault(
                SUBJECT,
                f"Anybody may call {service.title}: {member} has {role}"
                f"{' under a condition' if condition else ''}.",
                f"gcloud run services remove-iam-policy-binding {_service(service)}"
                f" --member={member} --role={role}{every}",
            )


def _service(service: Service) -> str:
    _, project, _, region, _, name = service.path.split("/")
    return f"{name} --region={region} --project={project}"
