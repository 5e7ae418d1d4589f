"""Deliveries are answered before Flask sees them, unless somebody has a part in its requests."""

import json

import flask
import pytest

from adjourn.clock import SystemClock
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from tests.unit import shop
from tests.unit.adjourn.test_settings import ENVIRONMENT

MAIN = """
import functools

from flask import current_app

from adjourn.application.start import start
from adjourn.requests.http import function
from tests.unit.shop import sent

wiring = start()
ours = function(wiring.receive_task, wiring.settings.project, wiring.receive_person)
"""
PLAIN = "deferred = ours"
OTHERS = {
    "another function of the file": """
def deferred(request):
    sent.append("other")
    return ""
""",
    "a function around it": """
@functools.wraps(ours)
def deferred(request):
    sent.append("other")
    return ours(request)
""",
    "before": """
deferred = ours
current_app.before_request(lambda: sent.append("other"))
""",
    "after": """
deferred = ours
current_app.after_request(lambda response: sent.append("other") or response)
""",
    "teardown": """
deferred = ours
current_app.teardown_request(lambda error: sent.append("other"))
""",
}


@pytest.fixture(scope="module")
def clock():
    return SystemClock()


@pytest.fixture
def client(serve, tmp_path):
    """Return what serves a file with a function of ours, and gives a client of it."""

    def serving(rest=PLAIN, **environment):
        main = tmp_path / "main.py"
        main.write_text(MAIN + rest)
        return serve("deferred", main, **environment)

    return serving


@pytest.fixture
def deliver(issuer, clock):
    """Return what delivers a call to a function."""

    def send(client, task="tests.unit.shop.send_receipt", path="/x", args=("A-1",), **headers):
        token = issuer.mint(
            ENVIRONMENT["ADJOURN_SERVICE_ACCOUNT"], ENVIRONMENT["ADJOURN_DEFERRED_URL"]
        )
        call = Envelope(id="7f3a", task=task, args=args, enqueued_at=clock.now())
        headers = {"Authorization": f"Bearer {token}", **headers}
        return client.post(path, data=call.encode(Codec()), headers=headers)

    return send


@pytest.fixture
def dispatched(monkeypatch):
    """Return the paths that Flask has dispatched."""
    paths, dispatch = [], flask.Flask.dispatch_request

    def noted(self):
        paths.append(flask.request.path)
        return dispatch(self)

    monkeypatch.setattr(flask.Flask, "dispatch_request", noted)
    return paths


@pytest.mark.parametrize("name", ["deferred", "queryiter", "cron"])
def test_no_delivery_reaches_flask(serve, name, dispatched):
    answer = serve(name).post("/x", data=b"{", headers={"Authorization": "Bearer a.b.c"})

    assert (answer.status_code, answer.text) == (401, "unauthenticated\n")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert dispatched == []


def test_a_delivery_that_is_done_is_answered_without_flask(client, deliver, dispatched):
    answer = deliver(client())

    assert (answer.status_code, answer.data, answer.content_type) == (204, b"", None)
    assert shop.sent == ["A-1"]
    assert dispatched == []


@pytest.mark.parametrize(
    "path", ["/list", "/execute/restock", "/gr\N{LATIN SMALL LETTER SHARP S}n"]
)
def test_what_is_not_plainly_a_delivery_reaches_flask(client, deliver, dispatched, path):
    deliver(client(), path=path)

    assert dispatched == [path]


def test_other_methods_reach_flask(client, dispatched):
    assert client().get("/x").status_code == 405
    assert dispatched == ["/x"]


@pytest.mark.parametrize("others", OTHERS)
def test_whoever_has_a_part_in_the_requests_of_flask_keeps_it(client, deliver, others):
    serving = client(OTHERS[others])

    for _ in range(2):
        assert deliver(serving).status_code in {200, 204}

    is_instead = others == "another function of the file"
    assert shop.sent.count("other") == 2
    assert shop.sent.count("A-1") == (0 if is_instead else 2)


def test_whoever_listens_to_the_signals_of_flask_hears_them(client, deliver):
    heard = []

    with flask.request_started.connected_to(lambda sender, **_: heard.append(sender)):
        answer = deliver(client())

    assert answer.status_code == 204
    assert len(heard) == 1


@pytest.mark.parametrize("rest", [PLAIN, OTHERS["before"]])
def test_what_a_task_prints_is_linked_to_its_request(client, deliver, capsys, rest):
    serving = client(rest, LOG_EXECUTION_ID="true")

    answer = deliver(serving, "tests.unit.shop.shout", **{"Function-Execution-Id": "e1"})

    assert answer.status_code == 204
    printed = capsys.readouterr()
    for line, text in ((printed.out, "A-1"), (printed.err, "A-1!")):
        (entry,) = [json.loads(each) for each in line.splitlines() if "A-1" in each]
        assert entry["message"] == text
        assert entry["logging.googleapis.com/labels"] == {"execution_id": "e1"}


def test_a_request_without_an_execution_id_gets_one(client, deliver, capsys):
    serving = client(LOG_EXECUTION_ID="true")

    for _ in range(2):
        deliver(serving, "tests.unit.shop.shout")

    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines() if "A-1" in each]
    first, second = (each["logging.googleapis.com/labels"]["execution_id"] for each in lines)
    assert len(first) == len(second) == 12
    assert first != second
