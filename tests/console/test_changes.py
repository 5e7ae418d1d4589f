"""The page Now in Chromium while the stack fails, ends and begins again."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import adjourn
from adjourn.settings import Settings
from adjourn_local.runtime.stack import Stack, running
from tests.browser import chromium
from tests.e2e.up_process import SHOP, up


@pytest.fixture(autouse=True)
def environment() -> None:
    """Leave the stack of the other tests out of these."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    yield page
    page.close()


def anything(*args: Any) -> None: ...


def call(stack: Stack, word: str) -> None:
    app = adjourn.App(Settings.from_env(stack.environment()))
    app.deferred(name="tests.console.application.fail", max_retries=0)(anything).defer(word)


def test_a_page_says_that_the_stack_is_gone_and_goes_on_when_it_is_back(
    page: Page, tmp_path: Path
) -> None:
    first = Stack("tests.console.application:app", state=tmp_path)
    with running(first):
        page.goto(f"http://127.0.0.1:{first.ports.http}/console/now")
        call(first, "before")
        expect(page.get_by_role("link", name="fail('before')")).to_be_visible(timeout=30_000)
        expect(page.locator("#gone")).to_be_hidden()
    expect(page.locator("#gone")).to_be_visible(timeout=30_000)

    second = Stack("tests.console.application:app", state=tmp_path)
    with running(second):
        expect(page.locator("#gone")).to_be_hidden(timeout=30_000)
        # A new console numbers its attempts from 1 again.
        call(second, "after")
        expect(page.get_by_role("link", name="fail('after')")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("link", name="fail('before')")).to_have_count(0)


def test_a_page_says_that_a_function_is_down_until_it_is_up(page: Page, tmp_path: Path) -> None:
    stack = Stack("tests.console.application:app", state=tmp_path)
    with running(stack):
        page.goto(f"http://127.0.0.1:{stack.ports.http}/console/now")
        expect(page.locator("#troubles")).to_have_text("")
        generation = stack.functions.generation
        assert generation is not None
        os.killpg(generation.running["deferred"].group, signal.SIGKILL)

        expect(page.locator("#troubles")).to_contain_text("The function deferred is down")
        expect(page.locator("#troubles")).to_have_text("", timeout=30_000)


def test_a_page_says_that_the_code_is_stale_until_it_is_not(page: Page, tmp_path: Path) -> None:
    shop = tmp_path / "shop.py"
    shop.write_text(SHOP)
    with up(tmp_path, "--port", "0", "--memory", "--reload") as stack:
        keys = stack.variables["ADJOURN_KEYS_URL"]
        home = keys[: keys.index("/", len("http://"))]
        page.goto(f"{home}/console/now")
        expect(page.locator("#troubles")).to_have_text("")

        shop.write_text("def <b>broken</b>")
        expect(page.locator("#troubles")).to_contain_text("newer code cannot be loaded")
        expect(page.locator("#troubles b")).to_have_count(0)
        shop.write_text(SHOP + "# mended")

        expect(page.locator("#troubles")).to_have_text("", timeout=30_000)
