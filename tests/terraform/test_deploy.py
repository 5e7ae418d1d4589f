"""`deploy.sh` with the module: it applies what it planned, and nothing that lacks a name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import APP, TASKS, copy_checkout, deploy
from tests.terraform.workspace import copy_module

REGION = "europe-west1"


class Shop:
    """A checkout with the module in it, and the shop's variables."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.checkout = copy_checkout(folder)
        self.environment = environment
        self.terraform = copy_module(self.checkout)
        self.variables = folder / "shop.tfvars.json"
        self.set()

    def set(self, *, is_protected: bool = False, **variables: Any) -> None:
        policy = {} if is_protected else {"queue_defaults": {"deletion_policy": "DELETE"}}
        told = {"project": "shop-by-script", "region": REGION, **policy, **variables}
        self.variables.write_text(json.dumps(told))

    def state(self, environment: str = "shop") -> Path:
        return self.terraform / "terraform.tfstate.d" / environment / "terraform.tfstate"

    def write(self, text: str) -> None:
        (self.checkout.parent / "shop" / "tasks.py").write_text(text)

    def run(self, *arguments: str) -> str:
        """Run a command that must succeed and return what it printed."""
        done = self.try_to(*arguments)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def try_to(self, *arguments: str) -> Any:
        file = f"-var-file={self.variables}"
        return deploy(self.checkout, *arguments, file, environment=self.environment)

    def instances(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Return what Terraform has made, by its key."""
        state = json.loads(self.state().read_text())
        resources = [each for each in state["resources"] if each["type"] == type_name]
        return {i["index_key"]: i["attributes"] for each in resources for i in each["instances"]}


@pytest.fixture
def shop(tmp_path: Path, provider: dict[str, str]) -> Shop:
    return Shop(tmp_path / "a shop", provider)


def test_a_shop_is_deployed_changed_and_destroyed(shop: Shop) -> None:
    shop.run("deploy", APP, "--yes")

    assert set(shop.instances("google_cloud_tasks_queue")) == {
        f"{REGION}/default",
        f"{REGION}/mail",
    }
    assert set(shop.instances("google_cloud_scheduler_job")) == {"nightly"}
    first = {key: each["name"] for key, each in sources(shop).items()}
    manifest = json.loads((shop.checkout / "build" / "shop" / "manifest.json").read_text())
    assert first == {name: each["zip"] for name, each in manifest["functions"].items()}
    assert "No changes." in shop.run("plan", APP)
    plan = shop.checkout / "build" / "shop" / "adjourn.tfplan"
    assert plan.stat().st_mode & 0o077 == 0, "a plan may hold secrets"

    shop.write(TASKS.replace('"mail"', '"post"'))
    said = shop.run("deploy", APP, "--yes")

    assert 'google_cloud_tasks_queue.main["europe-west1/post"] will be created' in said
    assert set(shop.instances("google_cloud_tasks_queue")) == {
        f"{REGION}/default",
        f"{REGION}/post",
    }
    assert not {each["name"] for each in sources(shop).values()} & set(first.values())

    shop.run("destroy", "--yes")
    assert not shop.instances("google_cloud_tasks_queue")


def sources(shop: Shop) -> dict[str, dict[str, Any]]:
    return shop.instances("google_storage_bucket_object")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"queue_names": ["default"]}, "There is no queue 'mail'; add it to queue_names or queues"),
        ({"cron_names": []}, "the cron name 'nightly'; add it to cron_names or crons."),
    ],
)
def test_names_that_terraform_was_not_told_of_fail_the_plan(
    shop: Shop, variables: dict[str, Any], said: str
) -> None:
    shop.set(**variables)

    done = shop.try_to("deploy", APP, "--yes")

    assert done.returncode == 1
    assert said in done.stderr
    assert not shop.state().exists()


def test_a_job_that_calls_for_nothing_is_noted(shop: Shop) -> None:
    shop.set(crons={"weekly": {}})

    done = shop.try_to("plan", APP)

    assert done.returncode == 0, done.stderr
    assert "Note: A Cloud Scheduler job calls the cron name 'weekly'" in done.stderr


def test_two_environments_know_nothing_of_each_other(shop: Shop) -> None:
    shop.run("deploy", APP, "--yes", "--environment", "staging")
    before = shop.state("staging").read_text()
    shop.write(TASKS.replace('"mail"', '"post"'))
    shop.set(project="shop-production")

    said = shop.run("plan", APP, "--environment", "production")

    assert " 0 to destroy." in said
    assert "will be destroyed" not in said
    shop.run("apply", "--yes", "--environment", "production")
    assert shop.state("staging").read_text() == before
    assert "shop-production" in shop.state("production").read_text()
    packages = {(shop.checkout / "build" / each) for each in ("staging", "production")}
    assert len({(each / "manifest.json").read_text() for each in packages}) == 2


def test_a_plan_for_another_project_than_the_states_is_refused(shop: Shop) -> None:
    shop.run("deploy", APP, "--yes")
    shop.set(project="shop-production")

    done = shop.try_to("deploy", APP, "--yes")

    assert done.returncode == 1
    assert "This state is of the project shop-by-script" in " ".join(done.stderr.split())
    assert {each["project"] for each in shop.instances("google_cloud_tasks_queue").values()} == {
        "shop-by-script"
    }


def test_a_roll_back_keeps_a_queue_until_it_is_empty(shop: Shop) -> None:
    shop.set(is_protected=True)
    shop.write(TASKS + "\n@app.deferred(queue='post')\ndef post() -> None: ...\n")
    shop.run("deploy", APP, "--yes")
    before = shop.state().read_text()
    shop.write(TASKS)

    refused = shop.try_to("deploy", APP, "--yes")

    assert refused.returncode == 1
    assert (
        "The queue 'post' in europe-west1 would be deleted; add it to retired_queues until it is"
        " empty." in refused.stderr
    )
    assert shop.state().read_text() == before

    retired = '-var=retired_queues=["post"]'
    shop.run("deploy", APP, "--yes", retired)
    assert f"{REGION}/post" in shop.instances("google_cloud_tasks_queue")
    bindings = shop.instances("google_cloud_tasks_queue_iam_member")
    assert [key for key in bindings if key.startswith(f"{REGION}/post ")]

    shop.run("deploy", APP, "--yes")
    assert f"{REGION}/post" not in shop.instances("google_cloud_tasks_queue")


def test_nobody_is_asked_when_there_is_nothing_to_change(shop: Shop) -> None:
    shop.run("deploy", APP, "--yes")

    said = shop.run("deploy", APP, "--yes")

    assert "There is nothing to change." in said
    assert not (shop.checkout / "build" / "shop" / "adjourn.tfplan").exists()


def test_a_kept_plan_is_applied_by_a_later_call(shop: Shop) -> None:
    shop.run("plan", APP)
    shop.write(TASKS.replace('"mail"', '"post"'))

    shop.run("apply", "--yes")

    assert f"{REGION}/mail" in shop.instances("google_cloud_tasks_queue"), "as it was planned"
    assert shop.try_to("apply", "--yes").returncode == 2
