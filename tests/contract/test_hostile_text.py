"""Text of others in what the commands print: it does not steer the terminal."""

import base64
import datetime as dt
import os
import re
from collections.abc import Iterator

import pytest
import requests
from aiohttp import web

from adjourn.gcp import google_adapters
from adjourn.iteration.runs import Run, Status, run_key
from adjourn.iteration.shards import Shard, shard_key
from adjourn.ports import RecordKey
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn_local.cli import main
from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack, running
from tests.support import serving_others

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
QUEUE = f"{PARENT}/queues/default"
HOSTILE = "a\x1b]0;mine\x07\x1b[2J\rb\b\x9b1m\u202ec"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack(None)
    with running(stack):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in stack.ports.environment().items():
                patch.setenv(name, value)
            _fill(stack.ports.url("http"))
        yield stack


@pytest.fixture(autouse=True)
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.ports.environment().items():
        monkeypatch.setenv(name, value)


def _fill(url: str) -> None:
    """Store what an application, or somebody who can enqueue, may have written."""
    store = google_adapters(Settings.from_env(os.environ), None).store
    call = Envelope(id="1", task=HOSTILE, enqueued_at=NOW, args=(HOSTILE,), kwargs={"k": HOSTILE})
    letter = {
        "task": HOSTILE,
        "queue": HOSTILE,
        "attempts": 1,
        "error": HOSTILE,
        "traceback": f"{HOSTILE}\n",
        "buried_at": NOW,
        "expires_at": NOW,
    }
    store.put(RecordKey("AdjournDeadLetter", "one"), {**letter, "body": call.encode(Codec())})
    store.put(RecordKey("AdjournDeadLetter", "two"), {**letter, "body": HOSTILE.encode()})
    http_request = {
        "url": "http://127.0.0.1:1/",
        "body": base64.b64encode(call.encode(Codec())).decode(),
    }
    task = {"name": f"{QUEUE}/tasks/hostile", "httpRequest": http_request}
    for path, content in {
        f"{PARENT}/queues": {"name": QUEUE},
        f"{QUEUE}:pause": {},
        f"{QUEUE}/tasks": {"task": task},
    }.items():
        requests.post(f"{url}/v2/{path}", json=content, timeout=10).raise_for_status()
    run = Run(
        id="r",
        iteration=HOSTILE,
        queue=HOSTILE,
        query=b"{}",
        custom_data=b"null",
        context=b"{}",
        total=1,
        shards=1,
        next_shard=1,
        active=(0,),
        started_at=NOW,
        updated_at=NOW,
        resumed_at=NOW,
        status=Status.STOPPED,
        error=HOSTILE,
    )
    shard = Shard(run_id="r", number=0, query=b"{}", updated_at=NOW, error=HOSTILE)
    store.put(run_key("r"), run.record())
    store.put(shard_key("r", 0), shard.record())


COMMANDS = {
    "dead list": 0,
    "dead show one": 0,
    "dead show two": 0,
    f"dead show {HOSTILE}": 1,
    f"dead replay {HOSTILE}": 1,
    "runs list": 0,
    "runs show r": 0,
    "runs watch r": 1,
    f"runs show {HOSTILE}": 1,
    f"runs pause {HOSTILE}": 1,
    f"cron --app {HOSTILE} list": 2,
    f"cron pause {HOSTILE} --app tests.hostile_text_shop:app": 2,
    f"up {HOSTILE} --port {HOSTILE}": 2,
    f"{HOSTILE}": 2,
    "tasks list": 0,
    "tasks show hostile": 0,
    f"tasks show {HOSTILE}": 1,
    f"queues pause {HOSTILE}": 1,
    f"faults set {HOSTILE}": 2,
    f"clock jump {HOSTILE}": 2,
    f"viur check {HOSTILE}": 2,
    f"export check {HOSTILE}": 2,
}


def said_by(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    try:
        status = main(words)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    return status, "".join(capfd.readouterr())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.replace(HOSTILE, "HOSTILE"))
def test_control_characters_are_shown(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    # `split` takes some control characters for spaces.
    status, said = said_by(re.split(" +", command), capfd)

    assert not STEERING.findall(said)
    assert r"\x1b" in said
    assert status == COMMANDS[command]


@pytest.mark.parametrize("answer", ["list", "refusal"])
def test_what_a_function_answers_is_shown(
    loop: LoopThread, answer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def respond(_: web.Request) -> web.Response:
        if answer == "refusal":
            return web.json_response({"error": HOSTILE}, status=500)
        form = {"properties": {HOSTILE: {}}, "required": []}
        task = {"key": HOSTILE, "name": HOSTILE, "descr": HOSTILE, "parameters": form}
        return web.json_response({"tasks": [task]})

    with serving_others(loop, [web.get("/list", respond)]) as url:
        _, said = said_by(["call", "list", "--url", url, "--token", "a.b.c"], capfd)

    assert not STEERING.findall(said)
    assert r"\x1b" in said
