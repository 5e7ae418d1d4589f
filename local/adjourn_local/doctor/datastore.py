"""The database: its mode, and whether expired records are deleted."""

from collections.abc import Iterator

from adjourn.state.cleanup import KINDS
from adjourn_local.doctor.finding import (
    Deployment,
    Finding,
    NotAskedError,
    fault,
    summed_up,
    unknown,
    unreachable,
)
from adjourn_local.doctor.google_rest import GoogleRest
from adjourn_local.http.reachable import why_unreachable

SUBJECT = "datastore"
_DATASTORE_MODE = "DATASTORE_MODE"
_GROUPS = "OPTIMISTIC_WITH_ENTITY_GROUPS"


def check(deployment: Deployment, google: GoogleRest | None) -> list[Finding]:
    """Return what is wrong with the database."""
    if google is None:
        host = deployment.environ.get("DATASTORE_EMULATOR_HOST", "")
        reason = why_unreachable(host)
        if reason:
            return [unreachable(SUBJECT, "Datastore", host, reason)]
        text = "The laptop stack has no TTL policies; there is nothing to ask."
        return [unknown(SUBJECT, text)]
    project, name = deployment.settings.project, deployment.database
    path = f"v1/projects/{project}/databases/{name}"
    try:
        database = google.get("firestore", path)
        if database is None:
            create = f"gcloud firestore databases create --type=datastore-mode --database={name}"
            text = f"The database {name} does not exist in {project}."
            return [fault(SUBJECT, text, f"{create} --location=REGION --project={project}")]
        found = [*_mode(database.get("type", ""), name)]
        if not found:
            mode = database.get("concurrencyMode", "")
            found = [*_expiry(deployment, google, path, has_groups=mode == _GROUPS)]
    except NotAskedError as error:
        return [unknown(SUBJECT, str(error))]
    return summed_up(SUBJECT, found, f"The database {name} is in Datastore mode and expires.")


def _mode(mode: str, name: str) -> Iterator[Finding]:
    if mode != _DATASTORE_MODE:
        yield fault(
            SUBJECT,
            f"The database {name} is {mode}; adjourn needs one in Datastore mode.",
            "name another in ADJOURN_DATABASE; one is made by: gcloud firestore databases create"
            " --type=datastore-mode --database=NAME --location=REGION",
        )


def _expiry(
    deployment: Deployment, google: GoogleRest, path: str, *, has_groups: bool
) -> Iterator[Finding]:
    if deployment.settings.cleanup:
        return
    turn_on = "set ADJOURN_CLEANUP=true"
    if has_groups:
        text = "The database has entity groups and therefore no TTL: expired records stay for ever."
        yield fault(SUBJECT, text, turn_on)
        return
    name, project = deployment.database, deployment.settings.project
    for kind in KINDS:
        field = google.get("firestore", f"{path}/collectionGroups/{kind}/fields/expires_at") or {}
        state = field.get("ttlConfig", {}).get("state", "")
        if state not in {"ACTIVE", "CREATING"}:
            yield fault(
                SUBJECT,
                f"The kind {kind} has no TTL policy on expires_at{f' ({state})' if state else ''}.",
                "gcloud firestore fields ttls update expires_at --enable-ttl"
                f" --collection-group={kind} --database={name} --project={project}; or {turn_on}",
            )
