"""A web page, in a real browser, against a running stack."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from aiohttp import web
from playwright.sync_api import Browser, Page

from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import LOCATION, PROJECT, Stack
from tests.browser import REBOUND, chromium
from tests.e2e.conftest import Log
from tests.support import serving_others

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
QUEUE = f"{PARENT}/queues/coveted"
ENTITIES = f"/v1/projects/{PROJECT}"
KEY = {"path": [{"kind": "Coveted", "name": "it"}]}
TASK = {"task": {"httpRequest": {"url": "http://127.0.0.1:1/"}}}
JOB = {"name": f"{PARENT}/jobs/theirs", "schedule": "0 0 1 1 *"}
DEEDS = {
    f"/v2/{QUEUE}/tasks": TASK,
    f"/v2/{QUEUE}:purge": {},
    f"/v1/{PARENT}/jobs": {**JOB, "httpTarget": {"uri": "http://127.0.0.1:1/"}},
    f"{ENTITIES}:commit": {"mode": "NON_TRANSACTIONAL", "mutations": [{"delete": KEY}]},
    "/people/token": {"email": "ann@shop.example", "audience": "x"},
}
READ = [f"/v2/{QUEUE}/tasks", f"/v1/{PARENT}/jobs", "/oauth2/v1/certs", "/control/clock"]

# What a page can do with a URL, and how its request arrives where nothing is refused.
ATTACKS = """
async ([base, deeds, read]) => {
  const frame = name => Object.assign(document.createElement("iframe"), {name});
  const loaded = (tag, fields) => new Promise(done => {
    const element = Object.assign(document.createElement(tag), fields);
    element.onload = element.onerror = done;
    document.body.append(element);
  });
  const form = (action, enctype, name, value) => new Promise(done => {
    const form = Object.assign(document.createElement("form"), {
      action, enctype, method: "POST", target: "f" + Math.random(),
    });
    const target = frame(form.target);
    form.append(Object.assign(document.createElement("input"), {name, value}));
    document.body.append(form, target);
    target.onload = done;
    form.submit();
  });
  const quietly = promise => promise.then(r => r.text()).catch(() => "");
  const seen = [];
  for (const [path, content] of Object.entries(deeds)) {
    const url = base + path, text = JSON.stringify(content);
    for (const type of ["text/plain", "application/json", ""])
      for (const mode of ["no-cors", "cors"]) {
        const body = new Blob([text], {type});
        seen.push(await quietly(fetch(url, {method: "POST", mode, body})));
      }
    for (const method of ["PUT", "DELETE"])
      seen.push(await quietly(fetch(url, {method, body: text})));
    navigator.sendBeacon(url, text);
    navigator.sendBeacon(url, new Blob([text], {type: "application/x-www-form-urlencoded"}));
    // A form of text is JSON with one more field.
    await form(url, "text/plain", text.slice(0, -1) + (text == "{}" ? "" : ",") + '"x', '":1}');
    await form(url, "application/x-www-form-urlencoded", text, "");
    await form(url, "multipart/form-data", "x", text);
  }
  for (const path of read) {
    const url = base + path;
    for (const mode of ["no-cors", "cors"]) seen.push(await quietly(fetch(url, {mode})));
    await loaded("img", {src: url});
    await loaded("script", {src: url});
    await loaded("iframe", {src: url});
    await loaded("link", {rel: "stylesheet", href: url});
    for (const open of [() => new EventSource(url), () => new WebSocket(url.replace("http", "ws"))])
      await new Promise(done => { const it = open(); it.onerror = it.onopen = done; });
  }
  return seen.join("");
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def elsewhere(loop: LoopThread) -> Iterator[str]:
    """Serve an empty page at a port of its own."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<body>", content_type="text/html")

    with serving_others(loop, [web.get("/", answer)]) as url:
        yield url


@pytest.fixture
def coveted(stack: Stack) -> Iterator[str]:
    """Put a task and an entity into the stack, and return its URL over HTTP."""
    url = stack.ports.url("http")
    for path, content in {
        f"/v2/{PARENT}/queues": {"name": QUEUE},
        f"/v2/{QUEUE}:pause": {},
        f"/v2/{QUEUE}/tasks": TASK,
        f"{ENTITIES}:commit": {
            "mode": "NON_TRANSACTIONAL",
            "mutations": [{"upsert": {"key": KEY, "properties": {}}}],
        },
    }.items():
        post(f"{url}{path}", content)
    yield url
    post(f"{url}/v2/{QUEUE}:purge", {})


def post(url: str, content: Any) -> Any:
    answer = requests.post(url, json=content, timeout=30)
    assert answer.status_code in {200, 409}
    return answer.json()


def held(url: str) -> Any:
    """Return what a page could want to change."""
    return [
        requests.get(f"{url}/v2/{QUEUE}/tasks", timeout=30).json(),
        [job["name"] for job in requests.get(f"{url}/v1/{PARENT}/jobs", timeout=30).json()["jobs"]],
        len(post(f"{url}{ENTITIES}:lookup", {"keys": [KEY]})["found"]),
    ]


def attack(page: Page, base: str) -> tuple[str, list[int]]:
    """Let a page do what it can; return what it could read, and the status of each answer."""
    statuses: list[int] = []
    page.on("response", lambda r: r.url.startswith(base) and statuses.append(r.status))
    text = page.evaluate(ATTACKS, [base, DEEDS, READ])
    page.wait_for_load_state("networkidle")
    return text, statuses


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_gets_nowhere(
    page: Page, elsewhere: str, coveted: str, host: str
) -> None:
    before = held(coveted)
    page.goto(elsewhere.replace("127.0.0.1", host))

    text, statuses = attack(page, coveted)

    assert text == ""
    assert len(statuses) > 40
    assert set(statuses) == {403}
    assert held(coveted) == before


def test_a_name_that_was_rebound_gets_nowhere(page: Page, coveted: str) -> None:
    """For the browser, stack and page are of the same origin: it asks nothing and lets all read."""
    before = held(coveted)
    base = coveted.replace("127.0.0.1", REBOUND)
    # The refusal itself is the page in which the attacker's script runs. Were it a page from the
    # internet, Chromium would protect this machine, as other browsers do not.
    page.goto(f"{base}/")

    text, statuses = attack(page, base)

    assert "--allow-host rebound.example" in text  # all that there is to read
    assert "coveted/tasks" not in text.replace(f"/v2/{QUEUE}/tasks", "")
    assert len(statuses) > 40
    assert set(statuses) == {403}
    assert held(coveted) == before


def test_a_page_does_not_get_to_the_functions(
    page: Page, elsewhere: str, stack: Stack, log: Log
) -> None:
    page.goto(elsewhere)
    for name in ("deferred", "cron", "queryiter"):
        text, statuses = attack(page, stack.ports.url(name))

        assert text == ""
        assert set(statuses) == {403}
    assert not [line for line in log._lines if "caller.refused" in line and "cross" in line]


def test_a_page_does_not_get_to_grpc(page: Page, elsewhere: str, stack: Stack) -> None:
    page.goto(elsewhere)

    text, statuses = attack(page, f"http://127.0.0.1:{stack.ports.grpc}")

    assert (text, statuses) == ("", [])


def test_the_stacks_own_pages_can_send_their_forms(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.ports.url('http')}/console/clock")

    page.get_by_role("button", name="Freeze").click()

    assert "Set the clock: freeze?" in page.inner_text("body")


def test_a_page_gets_everywhere_where_nothing_is_refused(
    page: Page, elsewhere: str, loop: LoopThread
) -> None:
    """The attacks are ones: without the gate they arrive, and some of them with their JSON."""
    arrived = []

    async def accept(request: web.Request) -> web.Response:
        arrived.append((request.method, request.content_type, await request.read()))
        return web.Response(headers={"Access-Control-Allow-Origin": "*"}, text="secret")

    with serving_others(loop, [web.route("*", "/{path:.*}", accept)]) as target:
        page.goto(elsewhere)
        text, _ = attack(page, target)

    assert "secret" in text
    assert {"GET", "POST", "OPTIONS"} <= {method for method, _, _ in arrived}
    kinds = {kind for method, kind, _ in arrived if method == "POST"}
    assert {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} <= kinds
    bodies = [body for method, _, body in arrived if method == "POST"]
    assert sum(body == json.dumps(TASK, separators=(",", ":")).encode() for body in bodies) > 3
