import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest

import adjourn
from adjourn_local.cli import main
from adjourn_local.packaging.agreement import Names, removals, removed_functions

ROOT = Path(__file__).resolve().parents[4]


def queue(name: str) -> dict[str, Any]:
    return {"type": "google_cloud_tasks_queue", "values": {"name": name}}


def job(key: str, uri: str | None) -> dict[str, Any]:
    target = {"uri": uri} if uri else {}
    values = {"name": f"adjourn-{key}", "http_target": [target]}
    return {"type": "google_cloud_scheduler_job", "index": key, "values": values}


def plan(*resources: dict[str, Any]) -> str:
    """Return a plan whose first resource is the root's and the others a module's."""
    module = {"child_modules": [{"resources": resources[1:]}]}
    root = {"resources": resources[:1], "child_modules": [module]}
    return json.dumps({"planned_values": {"root_module": root}})


def names(queues: str = "", crons: str = "") -> Names:
    return Names(frozenset(queues.split()), frozenset(crons.split()))


def test_an_application_tells_the_names_that_it_declares() -> None:
    app = adjourn.App()
    app.deferred(queue="mail", name="send")(lambda: None)
    app.periodic(interval=dt.timedelta(hours=1), cron_name="nightly", name="sweep")(lambda: None)

    declared = Names.declared(app, "work")

    assert declared == names("mail work", "nightly")
    assert json.loads(declared.tfvars()) == {
        "cron_names": ["nightly"],
        "queue_names": ["mail", "work"],
    }


def test_a_plan_tells_its_names_wherever_they_stand() -> None:
    text = plan(
        queue("default"),
        queue("mail"),
        job("nightly", "https://cron.example/base/nightly"),
        job("hourly", None),
        {"type": "google_storage_bucket", "values": {"name": "no-queue"}},
    )

    assert Names.planned(text, "it") == names("default mail", "nightly hourly")


def test_an_empty_plan_has_no_names() -> None:
    assert Names.planned('{"planned_values": {"root_module": {}}}', "it") == names()


def test_what_terraform_lacks_and_what_it_has_for_nothing_is_told() -> None:
    declared, planned = names("default mail", "nightly hourly"), names("default", "hourly daily")

    assert declared.missing(planned) == [
        "There is no queue 'mail'; add it to queue_names or queues.",
        "No Cloud Scheduler job calls the cron name 'nightly'; add it to cron_names or crons.",
    ]
    (superfluous,) = declared.superfluous(planned)
    assert "'daily', which the application does not declare" in superfluous
    assert not declared.missing(declared)


def export(output: Path, *options: str) -> int:
    app = "examples.packages.app:app"
    return main(["export", "tfvars", app, "--source", str(ROOT), "--output", str(output), *options])


def check(declared: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return main(["export", "check", "-", "--declared", str(declared)])


def test_the_commands_agree_or_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = tmp_path / "new" / "adjourn.auto.tfvars.json"
    assert export(declared) == 0
    assert json.loads(declared.read_text()) == {
        "cron_names": ["adjourn", "daily"],
        "queue_names": ["advisories", "default"],
    }

    jobs = [job(name, f"https://cron.example/{name}") for name in ("daily", "adjourn")]
    other = job("o", "https://cron.example/o")
    full = plan(queue("default"), queue("advisories"), *jobs, other)
    assert check(declared, full, monkeypatch) == 0
    assert "Note: A Cloud Scheduler job calls the cron name 'o'" in capsys.readouterr().err

    assert check(declared, plan(queue("default"), *jobs), monkeypatch) == 1
    assert capsys.readouterr().err == (
        "adjourn: The application uses what Terraform does not have:\n"
        "- There is no queue 'advisories'; add it to queue_names or queues.\n"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"planned_values": 1}', "{"])
def test_what_is_no_plan_is_refused(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = tmp_path / "declared.json"
    assert export(declared) == 0

    assert check(declared, text, monkeypatch) == 2
    assert capsys.readouterr().err.startswith("adjourn: The input is not ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{}", "was not written by `adjourn export tfvars`"),
        ('{"queue_names": 1, "cron_names": []}', "was not written by `adjourn export tfvars`"),
        ("x", "is not JSON"),
    ],
)
def test_declarations_that_cannot_be_read_are_said(
    tmp_path: Path,
    content: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    declared = tmp_path / "declared.json"
    if content is not None:
        declared.write_text(content)

    assert check(declared, plan(queue("default")), monkeypatch) == 2
    assert said in capsys.readouterr().err


def test_the_default_queue_can_be_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "it.json", "--queue", "work") == 0
    assert json.loads((tmp_path / "it.json").read_text())["queue_names"] == ["advisories", "work"]

    assert export(tmp_path / "it.json", "--queue", "a queue") == 2
    assert "--queue 'a queue' must be 1 to 100 letters" in capsys.readouterr().err


def change(kind: str, name: str, *actions: str, policy: str | None = "PREVENT") -> dict[str, Any]:
    before = {"name": name, "location": "europe-west1", "deletion_policy": policy}
    return {"type": kind, "change": {"actions": actions, "before": before}}


def test_a_function_that_a_plan_removes_is_told() -> None:
    kind = "google_cloudfunctions2_function"
    changes = [
        change(kind, "adjourn-deferred", "delete"),
        change(kind, "adjourn-cron", "delete", "create"),
        change(kind, "adjourn-queryiter", "update"),
        change("google_storage_bucket", "source", "delete"),
    ]

    (sentence,) = removed_functions(json.dumps({"resource_changes": changes}), "it")

    assert sentence.startswith("The function adjourn-deferred would be removed.")
    assert "once the queues are empty" in sentence
    assert removed_functions("{}", "it") == []


def test_a_protected_queue_that_a_plan_deletes_is_told() -> None:
    kind = "google_cloud_tasks_queue"
    changes = [
        change(kind, "post", "delete"),
        change(kind, "mail", "delete", "create"),
        change(kind, "default", "update"),
        change(kind, "retired", "delete", policy="DELETE"),
        change(kind, "kept", "delete", policy="ABANDON"),
        change("google_storage_bucket", "source", "delete"),
    ]

    sentences = removals(json.dumps({"resource_changes": changes}), "it")

    assert [each.partition(" in ")[0] for each in sentences] == [
        "The queue 'mail'",
        "The queue 'post'",
    ]
    assert all("add it to retired_queues" in each for each in sentences)
    assert removals("{}", "it") == []
