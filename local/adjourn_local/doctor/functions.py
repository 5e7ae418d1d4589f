"""The deployed functions: whether they are there, agree with the settings and are not public."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adjourn_local.doctor.finding import Deployment, Finding, fault
from adjourn_local.doctor.google_rest import GoogleRest

SUBJECT = "functions"
NAMES = ("deferred", "cron", "queryiter")

# https://cloud.google.com/run/docs/triggering/https-request#deterministic
_URL = re.compile(r"https://(?P<name>.+)-[0-9]+\.(?P<region>[a-z0-9-]+)\.run\.app")
_EVERYBODY = {"allUsers", "allAuthenticatedUsers"}
_INVOKER = "roles/run.invoker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A deployed function.

    Attributes:
        name: `deferred`, `cron` or `queryiter`.
        path: The full name of its Cloud Run service.
        account: The account that it runs as.
        environment: Its variables.
        addresses: The addresses at which it answers.
        checks_invokers: Whether Cloud Run asks IAM who may call it.
    """

    name: str
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
    found = _URL.fullmatch(url_of(deployment, name))
    if found is None:
        return None
    place = f"projects/{deployment.settings.project}/locations/{found['region']}"
    path = f"{place}/services/{found['name']}"
    service = google.get("run", f"v2/{path}")
    return None if service is None else _read(name, path, service)


def _read(name: str, path: str, service: Mapping[str, Any]) -> Service:
    template = service.get("template", {})
    container = (template.get("containers") or [{}])[0]
    return Service(
        name=name,
        path=path,
        account=template.get("serviceAccount", ""),
        environment={each["name"]: each.get("value", "") for each in container.get("env", [])},
        addresses=frozenset({service.get("uri", ""), *service.get("urls", [])}),
        # https://cloud.google.com/run/docs/authenticating/public#invoker_check
        checks_invokers=not service.get("invokerIamDisabled", False),
    )


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
    yield from _invokers(
        deployment, google.policy("run", f"v2/{service.path}", "GET") or {}, service
    )


def _audience(deployment: Deployment, service: Service) -> Iterator[Finding]:
    variable = f"ADJOURN_{service.name.upper()}_URL"
    url, own = url_of(deployment, service.name), service.environment.get(variable, "")
    if own.rstrip("/") != url:
        yield fault(
            SUBJECT,
            f"Tokens for the {service.name} function are for {url}; it accepts those for"
            f" {own or 'nobody'}.",
            f"terraform apply, or: gcloud run services update {_service(service)}"
            f" --update-env-vars={variable}={url}",
        )
    elif url not in service.addresses:
        text = f"The {service.name} function does not answer at {url}."
        yield fault(SUBJECT, text, "terraform apply, then: terraform output environment")


def _invokers(
    deployment: Deployment, policy: Mapping[str, list[str]], service: Service
) -> Iterator[Finding]:
    members = policy.get(_INVOKER, [])
    yield from _everybody(policy, service)
    callers = service.environment.get("ADJOURN_CALLERS", "") or deployment.settings.service_account
    for caller in filter(None, (each.strip() for each in callers.split(","))):
        if f"serviceAccount:{caller}" not in members:
            yield fault(
                SUBJECT,
                f"{caller} may not call the {service.name} function.",
                f"terraform apply, or: gcloud run services add-iam-policy-binding"
                f" {_service(service)} --member=serviceAccount:{caller} --role={_INVOKER}",
            )


def _everybody(policy: Mapping[str, list[str]], service: Service) -> Iterator[Finding]:
    """Yield how a function is open to everybody, by whichever role and under whichever condition.

    With ADJOURN_PLATFORM=cloud-run-iam, nobody else checks a signature.
    """
    if not service.checks_invokers:
        yield fault(
            SUBJECT,
            f"Anybody may call the {service.name} function: Cloud Run does not check who calls.",
            f"gcloud run services update {_service(service)} --invoker-iam-check",
        )
    for granted, members in sorted(policy.items()):
        role, _, condition = granted.partition(" ")
        for member in sorted(_EVERYBODY & set(members)):
            every = " --all" if condition else ""
            yield fault(
                SUBJECT,
                f"Anybody may call the {service.name} function: {member} has {role}"
                f"{' under a condition' if condition else ''}.",
                f"gcloud run services remove-iam-policy-binding {_service(service)}"
                f" --member={member} --role={role}{every}",
            )


def _service(service: Service) -> str:
    _, project, _, region, _, name = service.path.split("/")
    return f"{name} --region={region} --project={project}"
