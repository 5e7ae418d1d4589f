"""The console's pages of batches."""

import uuid

import pytest

from adjourn_local.runtime.harness import RunningStack
from tests.console.application import app, refuse, sync
from tests.console.browser import Browser


@pytest.fixture
def name() -> str:
    return f"import {uuid.uuid4().hex}"


def test_what_failed_is_found_from_the_batch_and_retried(
    browser: Browser, stack: RunningStack, name: str
) -> None:
    with app.batch(name=name) as batch:
        batch.add(refuse, "words")
        batch.map(sync, ["a", "b"], [1, 2])
    stack.wait()

    listed = browser.get("/console/batches")
    page = browser.get(listed.links[name])

    assert "3: 2 done, 1 failed, 0 cancelled, 0 to go" in page.text
    (letter,) = [link for text, link in page.links.items() if text.startswith("call ")]
    assert "refused 5 characters" in browser.get(letter).text
    asked = browser.press(page, "Retry failed")
    assert "on_done is called once more" in asked.text
    assert f"1 failed children of {name} run again." in browser.press(asked, "Yes").text
    stack.wait()
    assert "after it went on 1 times" in browser.get(page.path).text


def test_a_batch_whose_block_broke_off_is_cancelled(
    browser: Browser, stack: RunningStack, name: str
) -> None:
    def begin() -> None:
        with app.batch(name=name) as batch:
            batch.add(sync, "a", 1)
            batch.flush()
            raise OSError("no more rows")

    with pytest.raises(OSError, match="no more rows"):
        begin()
    stack.wait()
    page = browser.get(browser.get("/console/batches").links[name])
    assert "It is open: run the same block again, or cancel it." in page.text

    done = browser.press(browser.press(page, "Cancel"), "Yes")

    assert f"{name} is cancelled." in done.text
    assert app.batches().get(name).fetch()["status"] == "cancelled"


def test_a_batch_that_is_not_there_is_not_found(browser: Browser) -> None:
    page = browser.get("/console/batches/batch/nothing")

    assert page.status == 404
    assert "There is no batch 'nothing'." in page.text
