"""The console in Chromium: what happens by itself, what cannot happen, and who can use it."""

import uuid
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from google.cloud import datastore
from playwright.sync_api import Browser, Page, expect

from adjourn_local.runtime.harness import RunningStack
from tests.browser import chromium
from tests.console.application import Reprice, app, fail, pay, refuse, sync

PAGES = (
    "now",
    "queues",
    "queues/queue/default",
    "dead-letters",
    "batches",
    "flows",
    "flows/flow?flow=tests.console.application.sync&key=" + "k" * 100,
    "iterations",
    "periodic",
    "periodic/function?name=tests.console.application.sweep",
    "schedules",
    "start?email=ann@shop.example",
    "audit",
    "settings",
    "clock",
    "datastore?kind=AdjournDeadLetter",
    "datastore?kind=" + "k" * 100 + "&namespace=" + "n" * 100,
)
# What reaches beyond the window, and not into a part of the page that scrolls by itself.
WIDE = """[...document.querySelectorAll("body *")]
  .filter(each => !each.closest(".table") && each.getBoundingClientRect().right > innerWidth)
  .map(each => each.outerHTML.slice(0, 200))"""
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page that fails the test for every error, message box and foreign request."""
    faults: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: faults.append(f"{error}"))
    page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if "//127.0.0.1:" in asked.url else faults.append(asked.url),
    )
    page.set_default_timeout(30_000)
    yield page
    page.close()
    assert [each for each in faults if not each.startswith("data:")] == []


@pytest.fixture
def home(stack: RunningStack) -> str:
    return f"http://127.0.0.1:{stack.ports.http}/console"


@pytest.fixture(scope="module")
def filled(stack: RunningStack) -> None:
    """Have something to see on every page."""
    for name, value in stack.environment.items():
        assert value, name
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        fail(1)
        refuse("x" * 100)
        sync("k" * 100, 1)
        stack.wait()
        fail.options(delay=3600).defer(2)
        with app.batch(name="b" * 100) as batch:
            batch.add(sync, "k" * 100, 3)
        app.schedules.put("s" * 100, sync, args=("k" * 100, 2), cron="0 8 * * mon")
        client = datastore.Client(namespace="n" * 100)
        client.put(datastore.Entity(client.key("k" * 100, "i" * 100)))
        client.close()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_used_by_everybody(
    browser: Browser, home: str, path: str, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{home}/{path}")

    found = Axe().run(page).response["violations"]

    serious = {each["id"]: each["nodes"][0]["html"] for each in found if each["impact"] in SERIOUS}
    assert serious == {}
    context.close()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_telephone(browser: Browser, home: str, path: str) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(f"{home}/{path}")

    assert page.evaluate(WIDE) == []
    page.close()


def test_attempts_appear_in_two_tabs_by_themselves(browser: Browser, page: Page, home: str) -> None:
    other = browser.new_page()
    for each in (page, other):
        with each.expect_response(lambda answer: "/events" in answer.url):
            each.goto(f"{home}/now")
    word = uuid.uuid4().hex

    fail(word)

    for each in (page, other):
        expect(each.get_by_role("link", name=f"fail('{word}')")).to_be_visible()
    other.close()


def test_what_tasks_write_runs_nowhere(page: Page, home: str, stack: RunningStack) -> None:
    fail("<img src=x onerror=alert(3)>")
    stack.wait()

    page.goto(f"{home}/dead-letters")
    page.get_by_role("link", name="alert(3)").last.click()
    expect(page.get_by_role("heading", name="Traceback")).to_be_visible()
    page.goto(f"{home}/now")
    page.get_by_role("link", name="alert(3)").first.click()
    expect(page.get_by_role("heading", name="Attempt 1")).to_be_visible()


def test_a_letter_is_discarded_with_the_keyboard_alone(
    page: Page, home: str, stack: RunningStack
) -> None:
    refuse("keyboard")
    stack.wait()
    page.goto(f"{home}/dead-letters?task=tests.console.application.refuse")
    page.get_by_role("link", name="refused 8 characters").last.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Discard").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Discard the call of")).to_be_visible()
    page.keyboard.press("Enter")  # Yes has the focus

    expect(page.get_by_role("status")).to_contain_text("1 discarded.")


def test_a_letter_is_replayed_with_edited_arguments(
    page: Page, home: str, stack: RunningStack
) -> None:
    pay(5, notes=("<i>first</i>",))
    stack.wait()
    page.goto(f"{home}/dead-letters?task=tests.console.application.pay")
    page.get_by_role("link", name="order 5").first.click()
    expect(page.get_by_label("Arguments")).to_have_value("5,\nnotes=('<i>first</i>',)")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in SERIOUS] == []

    page.get_by_label("Arguments").fill("5,\namount={'$decimal': '2'}")
    page.get_by_role("button", name="Edit and replay").click()
    expect(page.get_by_role("heading", name="with other arguments?")).to_be_visible()
    page.get_by_role("button", name="Yes").click()

    expect(page.get_by_role("status")).to_contain_text("It is the task projects/")
    stack.wait()
    page.goto(f"{home}/now?task=tests.console.application.pay")
    expect(page.get_by_role("link", name="pay(5, amount=Decimal('2'))").first).to_be_visible()


def test_a_run_is_followed_until_it_ends(page: Page, home: str, stack: RunningStack) -> None:
    client = datastore.Client()
    kind = f"Product{uuid.uuid4().hex}"
    client.put_multi([datastore.Entity(client.key(kind, number)) for number in range(1, 5)])
    run = Reprice.start(client.query(kind=kind))
    run.pause()
    page.goto(f"{home}/iterations/run/{run.id}")
    expect(page.locator(".badge").first).to_contain_text("paus")

    run.resume()

    expect(page.locator(".badge").first).to_have_text("finished")
    stack.wait()


def test_a_form_of_another_site_changes_nothing(
    browser: Browser, home: str, stack: RunningStack
) -> None:
    page = browser.new_page()
    page.goto("data:text/html,<form method=post><input name=csrf><button>go</button></form>")
    page.evaluate("url => document.forms[0].action = url", f"{home}/queues/change")

    with page.expect_response(lambda answer: "/queues/change" in answer.url) as answered:
        page.get_by_role("button").click()

    assert answered.value.status == 403
    page.close()
    stack.wait()
