"""Task queue functions of Firebase, by firebase-admin for Python and for Node."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import firebase_admin
import pytest
import requests
from firebase_admin import functions
from firebase_admin.exceptions import FirebaseError
from google.auth.credentials import AnonymousCredentials, TokenState

from tests.contract.tasks_world import tasks_world

FUNCTION = "locations/europe-west1/functions/sendMail"
PATH = "/work/shop/europe-west1/sendMail"
NODE = """\
const { initializeApp } = require("firebase-admin/app");
const { getFunctions } = require("firebase-admin/functions");

async function main() {
  initializeApp({ projectId: "shop" });
  const queue = getFunctions().taskQueue("locations/europe-west1/functions/sendMail");
  await queue.enqueue({ to: "ann" }, { id: "node-1" });
  try {
    await queue.enqueue({ to: "ann" }, { id: "node-1" });
  } catch (error) {
    console.log(error.code);
  }
  await queue.enqueue({ to: "bob" }, { id: "node-2", scheduleDelaySeconds: 3600 });
  await queue.delete("node-2");
}
main().catch((error) => { console.error(error); process.exit(1); });
"""


class Fresh(firebase_admin.credentials.Base):
    """Credentials that never ask Google for a token."""

    class Token(AnonymousCredentials):
        token_state = TokenState.FRESH

    def get_credential(self):
        return self.Token()


@pytest.fixture
def world(loop, tmp_path, monkeypatch):
    with tasks_world(loop, tmp_path / "state.db") as world:
        world.options["firebase_functions"] = world.worker.url
        with world.running():
            monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", world.url.removeprefix("http://"))
            yield world


@pytest.fixture
def task_queue(world):  # noqa: ARG001 - its address is in the environment
    app = firebase_admin.initialize_app(Fresh(), {"projectId": "shop"}, "shop")
    yield functions.task_queue(FUNCTION, app=app)
    firebase_admin.delete_app(app)


def test_a_task_reaches_the_function_of_its_queue(world, task_queue):
    task_id = task_queue.enqueue({"to": "ann"})

    arrival = world.worker.next()
    assert arrival.path == PATH
    assert json.loads(arrival.body) == {"to": "ann"}
    assert arrival["content-type"] == "application/json"
    assert arrival["x-cloudtasks-taskname"] == task_id


def test_a_task_with_an_id_is_there_once_and_can_be_deleted(world, task_queue):
    options = functions.TaskOptions(task_id="mail-1", schedule_delay_seconds=7200)
    assert task_queue.enqueue({"to": "ann"}, options) == "mail-1"
    with pytest.raises(FirebaseError) as error:
        task_queue.enqueue({"to": "ann"}, options)
    assert error.value.code == "ALREADY_EXISTS"

    task_queue.delete("mail-1")
    name = "projects/shop/locations/europe-west1/queues/sendMail"
    assert list(world.client.list_tasks(parent=name)) == []
    with pytest.raises(FirebaseError) as error:
        task_queue.delete("mail-1")
    assert error.value.code == "NOT_FOUND"


def test_a_task_may_have_an_address_of_its_own(world, task_queue):
    task_queue.enqueue({}, functions.TaskOptions(uri=f"{world.worker.url}/other"))

    assert world.worker.next().path == "/work/other"


def test_what_is_no_task_is_refused(world):
    tasks = f"{world.url}/projects/shop/locations/europe-west1/queues/sendMail/tasks"

    answer = requests.post(tasks, json={"task": 7}, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid request:")
    assert list(world.client.list_queues(parent="projects/shop/locations/europe-west1")) == []


@pytest.fixture
def node(pytestconfig) -> Path:
    """Return a folder with firebase-admin for Node, or skip with the reason; it is kept."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("firebase-admin for Node needs node and npm, not installed here")
    folder = pytestconfig.cache.mkdir("firebase-node")
    if not (folder / "node_modules" / "firebase-admin" / "package.json").exists():
        options = ["--no-audit", "--no-fund", "--silent", "--fetch-retries=0"]
        command = ["npm", "install", *options, "firebase-admin@13"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not get firebase-admin within a minute")
        if done.returncode:
            pytest.skip(f"npm cannot get firebase-admin: {done.stderr.decode()[-200:]}")
    return folder


def test_the_client_for_node(world, node, tmp_path):
    key = tmp_path / "key.json"
    account = {
        "type": "authorized_user",
        "client_id": "none",
        "client_secret": "none",
        "refresh_token": "none",
    }
    key.write_text(json.dumps(account))
    environment = {**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    (node / "shop.js").write_text(NODE)

    done = subprocess.run(
        ["node", "shop.js"],
        cwd=node,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "functions/task-already-exists\n"
    arrival = world.worker.next()
    assert (arrival.path, arrival["x-cloudtasks-taskname"]) == (PATH, "node-1")
    assert json.loads(arrival.body) == {"data": {"to": "ann"}}
