"""What the pages about moving show, run as it stands."""

import datetime as dt
import re
import sys
from pathlib import Path
from types import ModuleType

import flask
import pytest

import adjourn.viur
from adjourn.testing import sandbox
from adjourn.testing.query_source import MemoryQuery

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page):
    text = (DOCS / f"moving-from-{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def run(monkeypatch):
    """Return what runs blocks, one after the other, in a module that can be imported."""
    module = ModuleType("moved_shop")
    monkeypatch.setitem(sys.modules, "moved_shop", module)

    def run(*sources):
        for source in sources:
            exec(compile(source, "moving", "exec"), vars(module))
        return module

    return run


def test_a_module_of_viur_runs_with_its_import_line_changed(run, monkeypatch, capsys):
    app = adjourn.viur.ViurApp()
    monkeypatch.setattr(adjourn.viur, "app", app)
    declaring, naming, calling, _ = blocks("viur")
    declaring = declaring.replace("copy=False): ...", "copy=False): print(number)")
    declaring = declaring.replace("def cleanup(self): ...", "def cleanup(self): print('clean')")
    shop = run(declaring, naming)

    with sandbox(app) as box:
        run(calling)
        assert capsys.readouterr().out == "7\nclean\n"
        assert [each.task.queue for each in box.queue.tasks.values()] == ["default", "mail"]
        box.clock.advance(dt.timedelta(minutes=1))
        box.drain()
        box.tick("nightly")
        box.drain()

    assert capsys.readouterr().out == "7\n7\nclean\n"
    assert app._declared.objects.path(shop.order) == "order"


def test_the_endpoints_of_viur_are_served_with_flask(run):
    (serving,) = blocks("viur")[3:]
    client = run(serving).web.test_client()

    with sandbox(adjourn.viur.app):
        assert client.post("/_tasks/deferred").status_code == 401
        assert client.post("/_tasks/queryIter").status_code == 401
        assert client.get("/_tasks/cron/default").status_code == 405
        assert client.post("/_tasks/cron/default").status_code == 401
    assert isinstance(run(serving).web, flask.Flask)


def test_what_app_engine_deferred_is_declared_and_enqueued(run):
    declaring, cron, iterating = blocks("app-engine")
    declaring, calling = declaring.split('resize("a.png"', 1)
    shop = run(declaring, cron, iterating)

    with sandbox(shop.app) as box:
        run(f'resize("a.png"{calling}')
        assert [each.task.queue for each in box.queue.tasks.values()] == ["default", "images"]
        assert {"default", "office"} <= shop.app.cron_names()


def test_what_mapreduce_did_is_an_iteration(run, capsys):
    declaring, _, iterating = blocks("app-engine")
    shop = run(declaring.split('resize("a.png"')[0], iterating)

    with sandbox(shop.app) as box:
        box.queries.add("Image", *range(40))
        shop.Migrate.start(MemoryQuery("Image"), {"seen": 0}, shards=2)
        box.drain()

    assert capsys.readouterr().out == "40 40\n"


def test_the_page_has_a_line_for_every_name():
    text = (DOCS / "moving-from-viur.md").read_text(encoding="utf-8")

    missing = [name for name in adjourn.viur.__all__ if f"`{name}" not in text]

    assert set(missing) <= {"Mail", "ViurApp"}


def test_what_celery_declares_and_calls(run):
    declaring, calling = blocks("celery")
    shop = run(declaring)

    with sandbox(shop.app) as box:
        run(calling)
        assert len(box.queue.tasks) == 4  # two calls, a batch of two; one ran here and now
        box.drain()
        assert not box.dead_letters()


def test_what_was_a_handler_of_cloud_tasks(run):
    declaring, calling = blocks("cloud-tasks")
    shop = run(declaring)

    with sandbox(shop.app) as box:
        run(calling)
        box.assert_enqueued(shop.send_receipt, "A-1")
        box.drain()
        assert not box.dead_letters()


@pytest.mark.parametrize("page", ["celery", "cloud-tasks"])
def test_the_exceptions_that_the_pages_raise_can_be_raised(page):
    text = (DOCS / f"moving-from-{page}.md").read_text(encoding="utf-8")
    raised = re.findall(r"`raise (adjourn\.(\w+)\(.*?\))`", text)

    assert len(raised) >= 2
    for source, name in raised:
        made = eval(source.replace("...)", "'why')"), {"adjourn": adjourn})
        assert isinstance(made, getattr(adjourn, name))
        assert isinstance(made, Exception)
