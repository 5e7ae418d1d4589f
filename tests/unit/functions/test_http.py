"""The deployed functions as they are, under the framework that hosts them."""

import socket
import threading

import pytest
from werkzeug.serving import make_server

from adjourn.clock import SystemClock
from adjourn.errors import StoreError
from adjourn.requests.gate import LONGEST_BODY
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from tests.unit import shop
from tests.unit.adjourn.test_settings import ENVIRONMENT
from tests.unit.functions.conftest import FUNCTIONS

ACCOUNT = ENVIRONMENT["ADJOURN_SERVICE_ACCOUNT"]
URLS = {
    "deferred": ENVIRONMENT["ADJOURN_DEFERRED_URL"],
    "queryiter": ENVIRONMENT["ADJOURN_QUERYITER_URL"].rstrip("/"),
    "cron": ENVIRONMENT["ADJOURN_CRON_URL"],
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def clock():
    return SystemClock()  # the machine's, by which a server of sockets goes as well


@pytest.fixture
def post(issuer, serve):
    def send(name="deferred", body=b"", path="/", headers=None, **options):
        token = issuer.mint(ACCOUNT, URLS[name])
        said = {"Authorization": f"Bearer {token}"} | (headers or {})
        return serve(name).post(path, data=body, headers=said, **options)

    return send


def call(task="tests.unit.shop.send_receipt", *args, **changes):
    fields = {"id": "7f3a", "task": task, "args": args, "enqueued_at": SystemClock().now()}
    return Envelope(**fields | changes).encode(Codec())


# Answers


def test_a_call_runs_and_is_acknowledged(post):
    answer = post(body=call("tests.unit.shop.send_receipt", "A-1"), path="/send_receipt")

    assert (answer.status_code, answer.data) == (204, b"")
    assert shop.sent == ["A-1"]


def test_a_failing_call_is_answered_so_that_it_counts_as_an_execution(post):
    answer = post(body=call("tests.unit.shop.fail", "s3cret"))

    assert (answer.status_code, answer.text) == (422, "failed\n")


def test_a_dead_letter_is_acknowledged(post, store):
    answer = post(body=b"{")

    assert (answer.status_code, answer.text) == (200, "dead\n")
    assert len(store.records) == 1


def test_a_store_out_of_reach_is_trouble(post, monkeypatch):
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr("adjourn.gcp.datastore_store.DatastoreStore.put", out_of_reach)

    assert post(body=b"{").status_code == 503


def out_of_reach(*_, **__):
    raise StoreError("away")


def test_an_unknown_task_is_not_found(post):
    assert post(body=call("gone")).status_code == 404


def test_the_retry_headers_make_the_attempt(post, store):
    answer = post(
        body=call("tests.unit.shop.fail", "x", max_retries=2),
        headers={
            "X-CloudTasks-TaskRetryCount": "7",
            "X-CloudTasks-TaskExecutionCount": "2",
            "X-CloudTasks-QueueName": "mail",
            "X-CloudTasks-TaskName": "once",
        },
    )

    assert answer.status_code == 200
    (letter,) = [record for key, (_, record) in store.records.items() if "Dead" in key.kind]
    assert (letter["attempts"], letter["queue"]) == (8, "mail")


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "²", "9" * 5000, "9" * 10])
def test_a_retry_header_that_is_no_sensible_number_counts_as_none(post, store, value):
    headers = {
        "X-CloudTasks-TaskRetryCount": value.encode().decode("latin-1"),
        "X-CloudTasks-TaskExecutionCount": value.encode().decode("latin-1"),
    }

    answer = post(body=b"{", headers=headers)

    assert answer.status_code == 200
    ((_, letter),) = store.records.values()
    assert letter["attempts"] == 1


@pytest.mark.parametrize("header", ["QueueName", "TaskName"])
def test_a_name_that_datastore_would_not_take_is_cut(post, store, header):
    answer = post(body=b"{", headers={f"X-CloudTasks-{header}": "\xe9" * 5000})

    assert answer.status_code == 200
    ((_, letter),) = store.records.values()
    assert len(letter["queue"].encode()) <= 1500


def test_a_cron_call_enqueues_what_is_due(post, store, queue):
    answer = post("cron", path="/hourly")

    assert answer.status_code == 204
    assert [q.task.label for q in queue.tasks.values()] == ["tests.unit.shop.sweep"]
    assert store.records


@pytest.mark.parametrize("path", ["/", "/nowhere", "/hourly/x", "/%2e%2e/hourly", "/%00"])
def test_an_unknown_cron_name_is_not_found(post, queue, path):
    answer = post("cron", path=path)

    assert answer.status_code == 404
    assert not queue.tasks


@pytest.mark.parametrize(
    "value", ["", "x", "2026-11-23T12:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z"]
)
@pytest.mark.usefixtures("store")
def test_a_schedule_time_that_makes_no_sense_does_no_harm(post, queue, value):
    answer = post("cron", path="/hourly", headers={"X-CloudScheduler-ScheduleTime": value})

    assert answer.status_code == 204
    assert len(queue.tasks) == 1


@pytest.mark.usefixtures("queue")
def test_a_step_of_a_missing_run_is_a_dead_letter(post, store):
    answer = post("queryiter", body=b'{"v": 1, "run": "r", "step": 0}')

    assert answer.status_code == 200
    assert len(store.records) == 1


# Refusals


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_another_method_than_post_is_told_which_to_use(serve, name, method):
    answer = serve(name).open("/x", method=method)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("header", [None, "Bearer x", "Bearer a.b.c", "Basic eDp5"])
def test_an_unknown_caller_learns_nothing(serve, name, header):
    headers = {"Authorization": header} if header else {}

    answer = serve(name).post("/hourly", headers=headers)

    assert (answer.status_code, answer.text) == (401, "unauthenticated\n")


@pytest.mark.parametrize("name", URLS)
def test_a_known_caller_that_may_not_call_learns_nothing(serve, name, issuer):
    token = issuer.mint("mallory@evil.example", URLS[name])

    answer = serve(name).post("/", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.text) == (403, "forbidden\n")


def test_a_token_for_another_function_is_refused(serve, issuer):
    token = issuer.mint(ACCOUNT, URLS["cron"])

    answer = serve("deferred").post("/", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401


def test_a_body_too_long_is_refused_by_its_length(post):
    answer = post(body=bytes(40_000_000))

    assert answer.status_code == 413


def test_a_body_too_long_that_does_not_tell_its_length_is_refused(post):
    answer = post(
        body=None,
        environ_overrides={"wsgi.input": Endless(40_000_000), "wsgi.input_terminated": True},
    )

    assert answer.status_code == 413


class Endless:
    """A request's body that comes without a length."""

    def __init__(self, size):
        self._left = size

    def read(self, size=-1):
        given = self._left if size < 0 else min(size, self._left)
        self._left -= given
        return bytes(given)

    def close(self):
        pass


@pytest.fixture
def listening(serve):
    """Serve the deferred function over a real socket."""
    server = make_server("127.0.0.1", 0, serve("deferred").application)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def opening(issuer):
    """Return the beginning of a request that is let in."""
    token = issuer.mint(ACCOUNT, URLS["deferred"])
    return f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_long_is_refused_over_a_real_socket(listening, opening, chunked):
    size = LONGEST_BODY + 1
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    body = b"%x\r\n%b\r\n" % (size, bytes(size)) if chunked else b""

    with socket.create_connection(listening, 10) as connection:
        connection.sendall(opening + framing + b"\r\n\r\n" + body)
        answer = connection.makefile("rb").read()

    assert b" 413 " in answer.splitlines()[0]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_body_that_breaks_off_is_a_bad_request(listening, opening, lines):
    with socket.create_connection(listening, 10) as connection:
        connection.sendall(opening + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()

    assert b" 400 " in answer.splitlines()[0]
    assert "request.broken" in [line.get("event") for line in lines()]


def test_the_longest_body_is_read(post, store):
    assert post(body=b"x" * LONGEST_BODY).status_code == 200
    assert store.records


def test_lines_carry_the_trace_of_the_request(post, lines):
    post(body=b"", headers={"traceparent": TRACE, "Authorization": "Bearer x"})

    (line,) = [line for line in lines() if line.get("event") == "caller.refused"]
    assert line["logging.googleapis.com/trace"] == (
        "projects/shop/traces/0af7651916cd43dd8448eb211c80319c"
    )


def test_no_answer_tells_a_traceback_or_an_argument(post, store):
    answers = [
        post(body=call("tests.unit.shop.fail", "s3cret")),
        post(body=b"s3cret"),
        post(body=call("gone", "s3cret")),
        post("queryiter", body=b"s3cret"),
        post("cron", path="/s3cret"),
    ]

    for answer in answers:
        assert answer.status_code < 500
        assert "s3cret" not in answer.text
        assert "Traceback" not in answer.text
    assert sorted(key.kind for key in store.records) == ["AdjournCall", "AdjournDeadLetter"]


# Starting


@pytest.mark.parametrize("name", URLS)
def test_a_function_that_is_misconfigured_does_not_start_and_says_every_mistake(serve, name):
    wrong = {"ADJOURN_LOCATION": "", "ADJOURN_CRON_URL": "http://cron", "ADJOURN_QEUE": "x"}

    with pytest.raises(SystemExit) as caught:
        serve(name, ADJOURN_APP="tests.unit.fresh_shop:other", **wrong)

    assert str(caught.value).splitlines() == [
        "adjourn cannot start:",
        "- ADJOURN_QEUE is not a setting of adjourn; did you mean ADJOURN_QUEUE?",
        "- ADJOURN_LOCATION is not set: the region of the queues, such as europe-west1.",
        "- ADJOURN_CRON_URL='http://cron' must be an https:// URL (http:// on loopback only).",
    ]


def test_the_functions_do_nothing_but_wiring():
    for name in URLS:
        assert len((FUNCTIONS / name / "main.py").read_text().splitlines()) <= 15
