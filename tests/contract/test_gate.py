"""What a web page, or a foreign name for this machine, could send to the stack is refused."""

import gzip
import json
import re
import socket

import grpc
import pytest
import requests
from aiohttp import web
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore, scheduler_v1, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.runtime.control import CLOCK_PATH, FAULTS_PATH
from adjourn_local.runtime.stack import LOCATION, PROJECT, Stack, running

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
QUEUE = f"{PARENT}/queues/mail"
ENTITIES = f"/v1/projects/{PROJECT}"
KEY = {"path": [{"kind": "Order", "name": "a"}]}
TARGET = {"httpTarget": {"uri": "http://127.0.0.1:1/"}, "schedule": "0 0 1 1 *"}

# What a browser tells of a page of another origin, or of one that was loaded under a foreign name.
PAGES = {
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another port": {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    "another name of this machine": {"Origin": "http://localhost:{port}"},
    "a sandboxed frame": {"Origin": "null"},
    "an extension": {"Origin": "chrome-extension://abcdefghijklmnop"},
    "a name that was rebound": {"Host": "evil.example:{port}"},
    "a name that begins like ours": {"Host": "127.0.0.1.evil.example:{port}"},
    "a name that ends like ours": {"Host": "evil-localhost:{port}"},
    "an image": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"},
    "a site of the same name": {"Sec-Fetch-Site": "same-site"},
}
# What a page can send without asking first (https://fetch.spec.whatwg.org/#simple-header).
BODIES = {
    "text": "text/plain;charset=UTF-8",
    "a form": "application/x-www-form-urlencoded",
    "a form with files": "multipart/form-data; boundary=x",
    "two types": "text/plain, application/json",
}
DEEDS = {
    "a task": ("POST", f"/v2/{QUEUE}/tasks", {"task": {"httpRequest": {"url": "http://x.test/"}}}),
    "a queue": ("POST", f"/v2/{PARENT}/queues", {"name": f"{PARENT}/queues/theirs"}),
    "a purge": ("POST", f"/v2/{QUEUE}:purge", {}),
    "a job": ("POST", f"/v1/{PARENT}/jobs", {"name": f"{PARENT}/jobs/theirs", **TARGET}),
    "a commit": (
        "POST",
        f"{ENTITIES}:commit",
        {"mode": "NON_TRANSACTIONAL", "mutations": [{"delete": KEY}]},
    ),
    "a token": ("POST", "/people/token", {"email": "ann@shop.example", "audience": "x"}),
}


@pytest.fixture(scope="module")
def stack():
    stack = Stack(None)
    with running(stack) as loop:
        loop.call(lambda: stack.tasks.ensure_queue(QUEUE))
        assert send(stack, "POST", f"/v2/{QUEUE}:pause", {}).json()["state"] == "PAUSED"
        send(stack, "POST", f"/v2/{QUEUE}/tasks", DEEDS["a task"][2])
        mutation = {"upsert": {"key": KEY, "properties": {}}}
        commit = {"mode": "NON_TRANSACTIONAL", "mutations": [mutation]}
        send(stack, "POST", f"{ENTITIES}:commit", commit)
        yield stack


def send(stack, method, path, content=None, **headers):
    body = None if content is None else json.dumps(content)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    headers = {name: text for name, text in headers.items() if text is not None}
    return requests.request(
        method, f"{stack.ports.url('http')}{path}", data=body, headers=headers, timeout=10
    )


def told_by(page, stack):
    return {name: text.format(port=stack.ports.http) for name, text in PAGES[page].items()}


def found(stack):
    """Return all that the stack holds."""
    lookup = send(stack, "POST", f"{ENTITIES}:lookup", {"keys": [KEY]}).json()
    return {
        "tasks": send(stack, "GET", f"/v2/{QUEUE}/tasks").json(),
        "queues": send(stack, "GET", f"/v2/{PARENT}/queues").json(),
        "jobs": send(stack, "GET", f"/v1/{PARENT}/jobs").json(),
        "entities": [each["entity"]["key"] for each in lookup["found"]],
    }


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_page_changes_nothing(stack, page, deed, kind):
    before = found(stack)
    method, path, content = DEEDS[deed]

    answer = send(stack, method, path, content, **{"Content-Type": kind}, **told_by(page, stack))

    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert found(stack) == before


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_body_that_a_page_can_send_unasked_is_refused(stack, deed, kind):
    before = found(stack)
    method, path, content = DEEDS[deed]

    answer = send(stack, method, path, content, **{"Content-Type": BODIES[kind]})

    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]["message"]
    assert found(stack) == before


def raw(port, request):
    """Return what a server answers first to a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(1 << 20)


def every_route(stack):
    """Return method and path of each route that the HTTP port serves, as pages might call it."""
    controls = [web.put(CLOCK_PATH, None), web.get(FAULTS_PATH, None)]
    for route in [*stack._servers.http_routes(), *stack._console.routes(), *controls]:
        method = "GET" if route.method == "*" else route.method
        yield method, re.sub(r":\.\*|[{}]", "", route.path).replace("[^/]+", "x")


@pytest.mark.parametrize("page", PAGES)
def test_every_route_refuses_a_page(stack, page):
    seen = [
        (method, path, send(stack, method, path, **told_by(page, stack)).status_code)
        for method, path in [*every_route(stack), ("GET", "/"), ("GET", "/no/such"), ("TRACE", "/")]
    ]

    assert len(seen) > 50
    assert [each for each in seen if each[2] != 403] == []


BROKEN = {
    "not gzip": ("Content-Encoding: gzip", b"{}"),
    "half of gzip": ("Content-Encoding: gzip", gzip.compress(b"{}")[:-4]),
    "not deflate": ("Content-Encoding: deflate", b"{}"),
    "broken chunks": ("Transfer-Encoding: chunked", b"zz"),
}


@pytest.mark.parametrize("body", BROKEN)
def test_every_route_refuses_a_body_that_is_not_what_it_is_called(stack, caplog, body):
    header, content = BROKEN[body]
    length = "" if "chunked" in header else f"Content-Length: {len(content)}\r\n"

    seen = {}
    for method, path in every_route(stack):
        kind = "x-www-form-urlencoded" if path.startswith("/console") else "json"
        lines = f"Host: localhost\r\nContent-Type: application/{kind}\r\n{header}\r\n{length}"
        head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n"
        seen[method, path] = raw(stack.ports.http, head.encode() + content + b"\r\n")[9:12]

    assert set(seen.values()) == {b"400"}
    assert not [record for record in caplog.records if record.exc_info]


def test_what_asks_for_permission_gets_none(stack):
    answer = send(
        stack,
        "OPTIONS",
        f"/v2/{QUEUE}/tasks",
        **PAGES["another site"],
        **{"Access-Control-Request-Method": "POST"},
    )

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "head",
    [
        "GET {path} HTTP/1.1\r\n\r\n",
        "GET {path} HTTP/1.0\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost:\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: me@localhost\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: localhost:99999999\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_a_host_that_is_none_or_several_is_refused(stack, head):
    reply = raw(stack.ports.http, head.format(path=f"/v2/{PARENT}/queues").encode())

    assert reply.split()[1] in {b"400", b"403"}
    assert b"queues/mail" not in reply


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "LOCALHOST", "localhost:1", "[::1]", "[::1]:{port}", "127.0.0.1:{port}"]
)
def test_every_name_of_loopback_is_let_in_at_any_port(stack, host):
    """A tunnel or a container may have another port."""
    host = host.format(port=stack.ports.http)

    assert send(stack, "GET", f"/v2/{QUEUE}", Host=host).status_code == 200


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_a_person_and_a_page_of_the_stack_itself_are_let_in(stack, site):
    origin = {"Origin": stack.ports.url("http")} if site == "same-origin" else {}

    answer = send(stack, "GET", f"/v2/{QUEUE}", **{"Sec-Fetch-Site": site}, **origin)

    assert answer.status_code == 200


def test_a_host_that_was_allowed_is_let_in():
    stack = Stack(None, allowed_hosts=["host.docker.internal"])
    with running(stack):
        port = stack.ports.http
        path = f"/v2/{PARENT}/queues"
        seen = {
            host: send(stack, "GET", path, Host=f"{host}:{port}").status_code
            for host in ("host.docker.internal", "localhost", "evil.example")
        }

    assert seen == {"host.docker.internal": 200, "localhost": 200, "evil.example": 403}


def test_google_s_clients_are_told_in_their_own_form(stack, monkeypatch):
    """A name that nobody allowed is said, not answered with something that they cannot read."""
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", f"127.0.0.1:{stack.ports.http}")
    session = requests.Session()
    session.headers["Host"] = "db.example"
    client = datastore.Client(project=PROJECT, _http=session, _use_grpc=False)

    with pytest.raises(Exception, match=re.escape("--allow-host db.example")):
        client.get(client.key("Order", "a"))


def test_google_s_clients_work_as_before(stack, monkeypatch):
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", f"localhost:{stack.ports.http}")
    where = {
        "transport": "rest",
        "credentials": AnonymousCredentials(),
        "client_options": {"api_endpoint": stack.ports.url("http")},
    }
    tasks, jobs = tasks_v2.CloudTasksClient(**where), scheduler_v1.CloudSchedulerClient(**where)
    entities = datastore.Client(project=PROJECT, _use_grpc=False)
    job = {"name": f"{PARENT}/jobs/ours", "schedule": "0 0 1 1 *"}
    job["http_target"] = {"uri": "http://127.0.0.1:1/"}

    with grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel:
        over_grpc = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        listed = over_grpc.list_tasks(parent=QUEUE)
        assert len(list(tasks.list_tasks(parent=QUEUE))) == len(list(listed)) == 1
    tasks.resume_queue(name=tasks.pause_queue(name=f"{QUEUE}").name)
    tasks.pause_queue(name=QUEUE)
    jobs.pause_job(name=jobs.create_job(parent=PARENT, job=job).name)
    jobs.delete_job(name=job["name"])
    entity = datastore.Entity(entities.key("Order", "b"))
    entities.put(entity)
    entities.delete(entity.key)


def test_the_grpc_port_does_not_speak_to_a_browser(stack):
    """No browser speaks gRPC's HTTP/2 without TLS, and what they do speak is cut off."""
    method = "/google.cloud.tasks.v2.CloudTasks/ListQueues"

    reply = raw(stack.ports.grpc, f"POST {method} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    assert b"HTTP/1.1 200" not in reply
