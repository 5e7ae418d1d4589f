import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.cloud import Cloud, clouds
from tests.terraform.stub import Stub, serving
from tests.terraform.workspace import Plan, Workspace, copy_module

FUNCTIONS = ("deferred", "cron", "queryiter")
REGIONS = ["europe-west1", "europe-west3"]
SHOP = {"project": "shop-production", "region": REGIONS[0], "queue_regions": REGIONS}

A_LITTLE_OF_EVERYTHING: dict[str, Any] = {
    **SHOP,
    "environment": {"SHOP_CURRENCY": "EUR"},
    "database": {"name": "shop"},
    "secrets": {"SHOP_MAIL_TOKEN": {"secret": "mail-token"}},
    "enqueuers": {"web": "serviceAccount:web@shop.example"},
    "operators": ["group:on-call@shop.example"],
    "functions": {"queryiter": {"memory_mb": 1024, "environment": {"SHOP_BATCH": "200"}}},
    "queue_defaults": {"logging_ratio": 0},
    "queues": {
        "mail": {
            "max_attempts": 20,
            "max_dispatches_per_second": 10,
            "min_backoff_seconds": 0.5,
            "logging_ratio": 1,
        }
    },
    "crons": {"nightly": {"schedule": "0 3 * * *", "time_zone": "Europe/Berlin"}},
    "indexes": {
        "orders": {
            "kind": "Order",
            "properties": [{"name": "customer"}, {"name": "placed_at", "order": "DESCENDING"}],
        },
        "items": {
            "kind": "Item",
            "properties": [{"name": "__key__", "order": "DESCENDING"}],
            "ancestor": True,
        },
    },
    "monitoring": {"notification_channels": ["projects/shop-production/notificationChannels/1"]},
}


def write_package(folder: Path) -> None:
    """Write what `./deploy.sh package` and `adjourn export tfvars` leave."""
    folder.mkdir(exist_ok=True)
    functions = {
        name: {"zip": f"{name}-0a1b2c.zip", "sha256": "0", "entry_point": name}
        for name in FUNCTIONS
    }
    manifest = {"version": 1, "app": "shop.main:app", "functions": functions}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for each in functions.values():
        (folder / each["zip"]).write_bytes(b"zip")
    declared = {"cron_names": ["default", "nightly"], "queue_names": ["default", "mail"]}
    (folder / "adjourn.auto.tfvars.json").write_text(json.dumps(declared))


@pytest.fixture(scope="session")
def stub() -> Stub:
    return Stub()


@pytest.fixture(scope="session")
def provider(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve the stub and return the variables that lead Terraform there."""
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed, so what it would plan is NOT TESTED")
    folder = tmp_path_factory.mktemp("provider")
    config = folder / "terraform.rc"
    config.write_text("disable_checkpoint = true\n")
    with serving(stub, folder / "socket") as environment:
        yield environment | {"TF_CLI_CONFIG_FILE": str(config)}


@pytest.fixture(scope="session")
def new_workspace(
    provider: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Workspace]:
    """Return a maker of fresh copies of the module, with a package beside them."""

    def make() -> Workspace:
        folder = tmp_path_factory.mktemp("workspace")
        write_package(folder / "build")
        workspace = Workspace(copy_module(folder), provider)
        workspace.init()
        workspace.configure(**SHOP)
        return workspace

    return make


@pytest.fixture(scope="session")
def workspace(new_workspace: Callable[[], Workspace]) -> Workspace:
    """Return the copy that all tests share that change nothing."""
    return new_workspace()


@pytest.fixture(scope="session")
def plan(new_workspace: Callable[[], Workspace]) -> Plan:
    """Return the plan of a shop that sets a little of everything."""
    workspace = new_workspace()
    workspace.configure(**A_LITTLE_OF_EVERYTHING)
    return workspace.plan()


@pytest.fixture(scope="session")
def cloud(stub: Stub) -> Iterator[Cloud]:
    """Return services in which the stub makes queues and jobs."""
    with clouds() as cloud, stub.connected(cloud.host):
        yield cloud
