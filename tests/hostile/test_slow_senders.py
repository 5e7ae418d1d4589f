"""Whoever sends slowly, or for nothing, holds nobody up."""

import time
from contextlib import ExitStack

import pytest

from tests.hostile.deployment import NAMES, THREADS, Deployment
from tests.hostile.wire import ask, connected, head, receive

LONG = 500_000


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def is_well(deployment: Deployment, name: str) -> float:
    """Return the seconds after which a good request is answered."""
    began = time.monotonic()
    answer = ask(deployment.functions[name].port, head("GET", "/"))
    assert answer.status == 405
    return time.monotonic() - began


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(length=LONG), 401),
        (head(length=LONG, headers={"Authorization": "Bearer a.b.c"}), 401),
        (head("PUT", length=LONG), 405),
        (head(path="/robots.txt", length=LONG), 401),
        (head("GET", path="/favicon.ico", length=LONG), 404),
    ],
)
def test_the_answer_comes_before_the_body_and_ends_the_connection(
    deployment: Deployment, name: str, request_head: bytes, status: int
) -> None:
    with connected(deployment.functions[name].port) as connection:
        connection.sendall(request_head)
        answer = receive(connection)

    assert (answer.status, answer.headers["connection"], answer.is_over) == (status, "close", True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/execute/restock", 401), ("GET", "/list", 401), ("PUT", "/list", 405)],
)
def test_people_are_answered_before_their_bodies_too(
    deployment: Deployment, method: str, path: str, status: int
) -> None:
    with connected(deployment.functions["deferred"].port) as connection:
        connection.sendall(head(method, path, {"Content-Type": "application/json"}, LONG))
        answer = receive(connection)

    assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_the_type_of_a_persons_body_is_judged_before_the_body(deployment: Deployment) -> None:
    headers = {**bearer(deployment.persons_token()), "Content-Type": "text/plain"}
    with connected(deployment.functions["deferred"].port) as connection:
        connection.sendall(head("POST", "/execute/restock", headers, LONG))
        answer = receive(connection)

    assert (answer.status, answer.headers["connection"]) == (415, "close")


def test_a_body_that_is_too_long_is_refused_by_its_announcement(deployment: Deployment) -> None:
    with connected(deployment.functions["deferred"].port) as connection:
        connection.sendall(head("POST", "/", bearer(deployment.token("deferred")), 40_000_000))
        answer = receive(connection)

    assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("name", NAMES)
def test_slow_senders_without_a_token_hold_no_thread(deployment: Deployment, name: str) -> None:
    port = deployment.functions[name].port
    with ExitStack() as closing:
        slow = [closing.enter_context(connected(port)) for _ in range(3 * THREADS)]
        for connection in slow:
            connection.sendall(head(length=LONG) + b"x")

        assert is_well(deployment, name) < 2
        assert {receive(connection).status for connection in slow} == {401}


def test_a_caller_who_is_let_in_keeps_the_connection(deployment: Deployment) -> None:
    function = deployment.functions["deferred"]
    request = head(headers=bearer(deployment.token("deferred")), length=1) + b"{"
    with connected(function.port) as connection:
        for _ in range(3):
            connection.sendall(request)
            answer = receive(connection)
            assert (answer.status, answer.is_over) == (200, False)
