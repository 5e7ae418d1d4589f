"""What Google Cloud would answer for resources that live nowhere but in Terraform's state."""

import hashlib
import json
from collections.abc import Callable

from tests.terraform.values import UNKNOWN, State

PROJECT_NUMBER = "123456789012"


def foreseen(type_name: str, new: State) -> State:
    """Return a planned state with what follows from the arguments already."""
    rule = _FORESEEN.get(type_name)
    told = rule(new) if rule else {}
    return {
        name: told.get(name, value) if value is UNKNOWN else value for name, value in new.items()
    }


def answered(type_name: str, new: State) -> State:
    """Return what is known once the resource is there."""
    given = {name: value for name, value in new.items() if value is not UNKNOWN}
    text = json.dumps([type_name, given], sort_keys=True, default=repr)
    return {
        "id": f"{type_name}/{hashlib.sha256(text.encode()).hexdigest()[:12]}",
        "number": PROJECT_NUMBER,
        "urls": [f"https://{new.get('name')}-{PROJECT_NUMBER}.{new.get('location')}.run.app"],
        "latest_ready_revision": f"{new.get('name')}-00001-abc",
    }


def _service_account(new: State) -> State:
    email = f"{new['account_id']}@{new['project']}.iam.gserviceaccount.com"
    return {
        "email": email,
        "member": f"serviceAccount:{email}",
        "name": f"projects/{new['project']}/serviceAccounts/{email}",
    }


_FORESEEN: dict[str, Callable[[State], State]] = {"google_service_account": _service_account}
