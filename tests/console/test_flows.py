"""The console's pages of flows, and of schedules made at run time."""

import datetime as dt
import uuid

import pytest

from adjourn_local.runtime.harness import RunningStack
from tests.console.application import HOSTILE, app, sync
from tests.console.browser import Browser, Page

SYNC = "tests.console.application.sync"


@pytest.fixture
def key() -> str:
    return f"tenant {uuid.uuid4().hex}"


@pytest.fixture
def name() -> str:
    return f"tenant-{uuid.uuid4().hex}"


def confirmed(browser: Browser, asked: Page) -> Page:
    return browser.press(asked, "Yes", confirmed="yes")


def test_a_key_is_paused_and_resumed(browser: Browser, stack: RunningStack, key: str) -> None:
    sync(key, 1)
    stack.wait()
    page = browser.get("/console/flows")
    assert key in page.text

    asked = browser.press(page, "Pause", key=key)
    assert "Its calls wait from now on, without spending attempts." in asked.text
    done = confirmed(browser, asked)

    assert f"{SYNC}, key {key!r} is paused." in done.text
    handle = sync(key, 2)
    stack.wait()
    waiting = browser.get(done.path)
    assert "Waiting, the next one first 1" in waiting.text
    assert app.flows().get(SYNC, key).waiting_calls[0] in waiting.text
    done = confirmed(browser, browser.press(waiting, "Resume", key=key))
    stack.wait()
    assert "goes on." in done.text
    assert handle.fetch() is None
    assert app.flows().get(SYNC, key).waiting == 0


def test_limits_are_set_live(browser: Browser, key: str) -> None:
    sync(key, 1)
    page = browser.get(f"/console/flows/flow?flow={SYNC}&key={key.replace(' ', '+')}")

    wanted = {"concurrency": "7", "rate": "5/s", "burst": "9"}
    done = confirmed(browser, browser.fill(page, "Limit", wanted))

    assert "has its limit, from the next call that begins or ends." in done.text
    view = app.flows().get(SYNC, key)
    assert (view.concurrency, view.rate, view.burst) == (7, "5/s", 9)
    emptied = dict.fromkeys(wanted, "")
    asked = browser.fill(done, "Limit", emptied)
    assert "as it is declared?" in asked.text
    confirmed(browser, asked)
    view = app.flows().get(SYNC, key)
    assert (view.concurrency, view.rate, view.burst) == (None, "", None)


@pytest.mark.parametrize(
    ("wrong", "status", "text"),
    [
        ({"concurrency": "many"}, 400, "concurrency: 'many' is not a whole number from 1."),
        ({"concurrency": "0"}, 409, "concurrency=0 must be a whole number from 1."),
        ({"rate": "fast"}, 409, "rate='fast'"),
        ({"burst": "3"}, 409, "burst needs a rate"),
    ],
)
def test_a_wrong_limit_is_refused_before_it_is_asked_about(
    browser: Browser, wrong: dict[str, str], status: int, text: str
) -> None:
    page = browser.get(f"/console/flows/flow?flow={SYNC}")

    refused = browser.fill(page, "Limit", wrong)

    assert refused.status == status
    assert text in refused.text


def test_a_flow_that_nobody_knows_is_not_found(browser: Browser) -> None:
    page = browser.get("/console/flows/flow?flow=tests.console.application.sink")

    assert page.status == 404
    assert f"did you mean '{SYNC}'?" in page.text


def test_a_schedule_is_paused_resumed_and_deleted(browser: Browser, name: str) -> None:
    app.schedules.put(name, sync, args=(HOSTILE, 3), interval=dt.timedelta(hours=4))
    page = browser.get(f"/console/schedules?prefix={name[:20]}")
    assert "script" not in page.tags[page.tags.index("main") :]
    assert name in page.text
    assert "4:00:00" in page.text

    asked = browser.press(page, "Pause", name=name)
    assert "It is due no more until it is resumed." in asked.text
    done = confirmed(browser, asked)

    assert f"{name} is paused." in done.text
    assert app.schedules.get(name).status == "paused"  # type: ignore[union-attr]
    page = browser.get(f"/console/schedules?prefix={name}")
    confirmed(browser, browser.press(page, "Resume", name=name))
    assert app.schedules.get(name).status == "active"  # type: ignore[union-attr]
    page = browser.get(f"/console/schedules?prefix={name}")
    done = confirmed(browser, browser.press(page, "Delete", name=name))
    assert f"{name} is deleted." in done.text
    assert app.schedules.get(name) is None


def test_of_many_schedules_the_page_shows_those_whose_names_begin_alike(
    browser: Browser, name: str
) -> None:
    for number in range(51):
        app.schedules.put(f"{name}-{number:02}", sync, args=("a", number), cron="0 8 * * mon")

    page = browser.get(f"/console/schedules?prefix={name}")

    assert f"{name}-49" in page.text
    assert f"{name}-50" not in page.text
    assert "There are more; give the beginning of their names." in page.text
    assert f"{name}-50" in browser.get(f"/console/schedules?prefix={name}-5").text
    for number in range(51):
        app.schedules.delete(f"{name}-{number:02}")
