"""Callable tasks as people use them: over HTTP and with `adjourn call`, on the running stack."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adjourn_local.runtime.addresses import SERVICE_ACCOUNT, USER_AUDIENCE
from adjourn_local.runtime.stack import Stack
from adjourn_local.tokens.user_tokens import TOKEN_PATH
from tests.e2e.conftest import Ear, Log

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[2]
ANN = ("--user", "ann@shop.example")
Done = subprocess.CompletedProcess[str]


def call(*arguments: str, said: str = "", **environment: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "adjourn_local", "call", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ask(
    port: int, method: str, path: str, content: object = None, **headers: str
) -> tuple[int, Mapping[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = None if content is None else json.dumps(content)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": "application/json"} | named)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(text) if is_json else {"text": text}


def token(stack: Stack, email: str, audience: str = USER_AUDIENCE) -> str:
    wanted = {"email": email, "audience": audience}
    status, told = ask(stack.ports.http, "POST", TOKEN_PATH, wanted)
    assert status == 200, told
    return str(told["token"])


# Over HTTP


def test_a_person_lists_and_starts_a_task(stack: Stack, ear: Ear) -> None:
    bearer = f"Bearer {token(stack, 'ann@shop.example')}"
    port = stack.ports.deferred

    status, listed = ask(port, "GET", "/list", Authorization=bearer)
    assert (status, [task["key"] for task in listed["tasks"]]) == (200, ["greet", "bow"])

    given = {"whom": "Bob", "on": "2026-03-01", "sizes": [1]}
    status, handle = ask(port, "POST", "/execute/greet", given, Authorization=bearer)
    assert status == 202
    assert handle["name"].endswith(f"/queues/default/tasks/{handle['id']}")
    assert ear.hear() == "Bob 2026-03-01 1 [<Size.LARGE: 1>] False from ann@shop.example"


def test_a_task_without_parameters_is_started_without_a_body(stack: Stack, ear: Ear) -> None:
    bearer = f"Bearer {token(stack, 'ann@shop.example')}"

    assert ask(stack.ports.deferred, "POST", "/execute/bow", Authorization=bearer)[0] == 202
    assert ear.hear() == "bows"


@pytest.mark.parametrize(
    ("email", "path", "content", "status"),
    [
        ("bob@shop.example", "/execute/bow", {}, 403),
        ("eve@gmail.com", "/execute/greet", {}, 403),
        ("ann@shop.example", "/execute/gone", {}, 404),
        ("ann@shop.example", "/execute/greet", {}, 422),
    ],
)
def test_whoever_may_not_or_asks_wrongly_is_told(
    stack: Stack, email: str, path: str, content: object, status: int
) -> None:
    bearer = f"Bearer {token(stack, email)}"

    assert ask(stack.ports.deferred, "POST", path, content, Authorization=bearer)[0] == status


def test_neither_token_opens_the_others_door(stack: Stack, log: Log) -> None:
    port, url = stack.ports.deferred, stack.ports.url("deferred")
    service = f"Bearer {stack.issuer.mint(SERVICE_ACCOUNT, url)}"
    disguised = f"Bearer {stack.issuer.mint(SERVICE_ACCOUNT, USER_AUDIENCE)}"
    person = f"Bearer {token(stack, 'ann@shop.example')}"

    assert ask(port, "GET", "/list", Authorization=service)[0] == 401
    assert ask(port, "GET", "/list", Authorization=disguised)[0] == 403
    assert ask(port, "POST", "/", {}, Authorization=person)[0] == 401
    log.find("a service account is not a user")


# The issuer


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        ({"email": SERVICE_ACCOUNT, "audience": USER_AUDIENCE}, {}, 400),
        ({"email": SERVICE_ACCOUNT.upper(), "audience": USER_AUDIENCE}, {}, 400),
        ({"email": "ann", "audience": USER_AUDIENCE}, {}, 400),
        ({"email": "ann@shop.example"}, {}, 400),
        ({"email": "ann@shop.example", "audience": ""}, {}, 400),
        (["email", "audience"], {}, 400),
        (None, {}, 400),
        ({"email": "ann@shop.example", "audience": USER_AUDIENCE}, {"Host": "evil.example"}, 403),
        (
            {"email": "ann@shop.example", "audience": USER_AUDIENCE},
            {"Content_Type": "text/plain"},
            415,
        ),
    ],
    ids=[
        "a service",
        "a service in capitals",
        "no address",
        "no audience",
        "an empty audience",
        "no object",
        "nothing",
        "a page of the web by a name of its own",
        "a page of the web by a form",
    ],
)
def test_the_issuer_gives_tokens_of_people_to_this_machine_alone(
    stack: Stack, content: object, headers: dict[str, str], status: int
) -> None:
    assert ask(stack.ports.http, "POST", TOKEN_PATH, content, **headers)[0] == status


# The command


def test_the_command_lists_what_this_person_may_start() -> None:
    done = call("list", *ANN)

    assert (done.returncode, done.stderr) == (0, "")
    _, greet, bow = done.stdout.splitlines()
    assert [cell for cell in greet.rstrip().split("  ") if cell.strip()] == [
        "greet",
        "Greet somebody",
        "whom, on, [times], [sizes], [louder]",
        "Says hello to [somebody].",
    ]
    assert bow.split() == ["bow", "bow", "-"]
    assert call("list", "--user", "eve@gmail.com").stdout.startswith("There is no task that")


def test_the_command_starts_a_task_with_parameters_as_its_form_wants_them(ear: Ear) -> None:
    given = ["whom=7", "on=2026-03-01", "times:=2", "sizes=1", "sizes=1", "louder=true"]

    done = call("run", "greet", *ANN, *(word for each in given for word in ("--param", each)))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("greet is queued as projects/adjourn-local/")
    large = "<Size.LARGE: 1>"
    assert ear.hear() == f"7 2026-03-01 2 [{large}, {large}] True from ann@shop.example"


def test_the_command_tells_the_handle_as_json(ear: Ear) -> None:
    done = call("run", "bow", *ANN, "--json")

    assert json.loads(done.stdout)["is_new"] is True
    assert ear.hear() == "bows"


def test_the_command_tells_all_that_does_not_fit() -> None:
    done = call("run", "greet", *ANN, "--param", "on=soon", "--param", "loud=yes")

    assert (done.returncode, done.stdout) == (1, "")
    head, *rest = done.stderr.splitlines()
    assert head == "adjourn: The parameters do not fit:"
    assert sorted(rest) == [
        "  loud: is not a parameter",
        "  on: must be a date such as 2026-12-31",
        "  whom: is missing",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "gone", *ANN], "There is no such task"),
        (["run", "bow", "--user", "bob@shop.example"], "This account may not do that."),
        (["list", "--user", SERVICE_ACCOUNT], "gave no token for"),
        (["list", "--token", "a.b.c"], "does not accept the token. It is for None"),
        (["list", *ANN, "--url", "http://127.0.0.1:1"], "cannot be reached"),
    ],
)
def test_the_command_says_what_was_refused(arguments: list[str], said: str) -> None:
    done = call(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_takes_a_token_that_somebody_else_got(stack: Stack) -> None:
    got = token(stack, "ann@shop.example")

    assert "greet" in call("list", "--token", got).stdout
    assert "greet" in call("list", "--token", "-", said=f"{got}\n").stdout
    other = token(stack, "ann@shop.example", "other.example")
    assert "It is for 'other.example'" in call("list", "--token", other).stderr
