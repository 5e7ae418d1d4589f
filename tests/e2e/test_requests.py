"""Bad requests at the door of a function that really runs."""

import datetime as dt
import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn_local.runtime.addresses import SERVICE_ACCOUNT
from adjourn_local.runtime.stack import Stack
from tests.e2e.conftest import Log

Answer = tuple[int, str]


class Door:
    """A raw HTTP connection to one function."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.url = stack.ports.url(name)
        self.token = stack.issuer.mint(SERVICE_ACCOUNT, self.url)
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", getattr(stack.ports, name), timeout=30
        )

    def ask(
        self, body: object = b"", method: str = "POST", path: str = "/", **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body=body, headers=named)  # type: ignore[arg-type]
        response = self._connection.getresponse()
        return response.status, response.read().decode()

    def ask_with_token(self, body: object = b"", path: str = "/") -> Answer:
        return self.ask(body, path=path, Authorization=f"Bearer {self.token}")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def door(stack: Stack) -> Iterator[Door]:
    door = Door(stack, "deferred")
    yield door
    door.close()


@pytest.fixture
def cron_door(stack: Stack) -> Iterator[Door]:
    door = Door(stack, "cron")
    yield door
    door.close()


def test_without_a_token_nobody_gets_in(door: Door, log: Log) -> None:
    assert door.ask(b"{}") == (401, "unauthenticated\n")
    assert log.find("deferred", '"caller.refused"')


def test_a_token_for_another_audience_does_not_open(stack: Stack, door: Door) -> None:
    other = stack.issuer.mint(SERVICE_ACCOUNT, stack.ports.url("cron"))

    assert door.ask(b"{}", Authorization=f"Bearer {other}") == (401, "unauthenticated\n")


def test_a_verified_stranger_is_forbidden(stack: Stack, door: Door, log: Log) -> None:
    stranger = stack.issuer.mint("stranger@example.com", door.url)

    assert door.ask(b"{}", Authorization=f"Bearer {stranger}") == (403, "forbidden\n")
    assert log.find("caller not on the list")


def test_a_body_that_breaks_off_is_no_dead_letter(stack: Stack, door: Door) -> None:
    whole = b'{"v": 1, "id": "cut-short", "task": "x", "enqueued_at": null}'
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {door.token}\r\n"
        f"Content-Length: {len(whole)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.ports.deferred), 30) as connection:
        connection.sendall(head.encode() + whole[:-10])
        connection.shutdown(socket.SHUT_WR)
        reply = connection.makefile("rb").read()

    assert b" 400 " in reply.splitlines()[0]


def test_a_forged_signature_does_not_open(door: Door) -> None:
    head, payload, signature = door.token.split(".")
    forged = f"{head}.{payload}.{signature[::-1]}"

    assert door.ask(b"{}", Authorization=f"Bearer {forged}") == (401, "unauthenticated\n")


def test_the_headers_of_cloud_tasks_prove_nothing(door: Door) -> None:
    status, _ = door.ask(b"{}", X_CloudTasks_TaskName="x", X_AppEngine_QueueName="y")

    assert status == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_told_which_to_use(door: Door, method: str) -> None:
    assert door.ask(method=method) == (405, "use POST\n")


def test_a_huge_body_is_refused_by_its_announcement(stack: Stack, door: Door, log: Log) -> None:
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.token}\r\n"
        "Content-Length: 40000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.ports.deferred), 30) as connection:
        connection.sendall(head.encode())
        reply = connection.makefile("rb").read()

    assert b" 413 " in reply.splitlines()[0]
    assert log.find("deferred", '"request.too_long"')
    assert door.ask(b"{}")[0] == 401


def test_a_body_that_cannot_be_read_becomes_a_dead_letter_at_once(door: Door, log: Log) -> None:
    assert door.ask_with_token(b"\x80 not an envelope") == (200, "dead\n")
    line = log.find("deferred", '"task.dead"', "undecodable-")
    assert json.loads(line.split(" ", 1)[1])["severity"] == "ERROR"


def test_an_unknown_task_is_left_for_the_next_revision(door: Door) -> None:

    envelope = Envelope(id="1", task="no.such.task", enqueued_at=dt.datetime.now(dt.UTC))

    assert door.ask_with_token(envelope.encode(Codec())) == (404, "unknown\n")


@pytest.mark.parametrize("path", ["/", "/no-such-name", "/bell/extra"])
def test_an_unknown_cron_name_is_not_found(cron_door: Door, log: Log, path: str) -> None:
    assert cron_door.ask_with_token(path=path) == (404, "unknown\n")
    assert log.find("cron", '"cron.unknown"')
