"""Take the pictures of the console that the documentation shows, with the demo's application.

    python -m tools.screenshots

It needs Chromium. The pictures are written into docs/images.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from google.cloud import datastore
from playwright.sync_api import Page, sync_playwright

from adjourn_local.runtime.harness import running_for_tests
from examples.packages.app import Audit, app, client, cutoff, record_advisory
from examples.packages.rows import CSV, Package, read

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 800}
_PACKAGES = 3_000
_PATIENCE = 120.0
# A call that is given up: its package has no name that Datastore takes.
_BROKEN = ("(no name)", 0, "")


def main() -> int:
    """Take all pictures and return the exit status."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        print(f"No browser is installed: none of {', '.join(PROGRAMS)}.", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with running_for_tests(app, "examples.packages.app:app", lambda _name, _line: None) as stack:
        _load()
        run = Audit.start(
            client().query(kind="Package"),
            {"cutoff": cutoff(stack.now().date()), "undated": 0, "stale": 0},
        )
        for _ in range(3):
            record_advisory.options(max_retries=0).defer(*_BROKEN)  # type: ignore[arg-type]
        home = f"http://127.0.0.1:{stack.ports.http}/console"
        with _page(program) as page:
            _until(lambda: bool((state := run.fetch()) and state.done > _PACKAGES / 3))
            _take(page, f"{home}/iterations/run/{run.id}", "iteration")
            _take(page, f"{home}/now", "now")
            _take(page, f"{home}/queues", "queues")
            stack.wait(_PATIENCE)
            _take(page, f"{home}/dead-letters", "dead-letters")
            _take(page, f"{home}/periodic", "periodic")
    return 0


def _load() -> None:
    packages = islice((row for row in read(CSV) if isinstance(row, Package)), _PACKAGES)
    batch: list[datastore.Entity] = []
    for package in packages:
        entity = datastore.Entity(client().key("Package", package.name))
        entity.update(rank=package.rank, name=package.name, last_release=package.last_release)
        batch.append(entity)
    for start in range(0, len(batch), 500):
        client().put_multi(batch[start : start + 500])


@contextmanager
def _page(program: str) -> Iterator[Page]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        with browser:
            yield browser.new_page(viewport=SIZE)  # type: ignore[arg-type]


def _take(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.screenshot(path=IMAGES / f"{name}.png")


def _until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > give_up:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
