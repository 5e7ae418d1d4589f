"""`adjourn up --reload` follows the code while it changes."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.up_process import LOCATION, SHOP, Pipe, Up, up

RELOADED = "Reloaded after a change of"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.py"
    path.write_text(SHOP)
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


def count(stack: Up, text: str) -> int:
    return sum(text in line for line in stack.lines)


def test_a_change_is_followed_by_the_functions_while_the_servers_go_on(
    shop: Path, pipe: Pipe
) -> None:
    with up(shop.parent, "--port", "0", "--memory", "--reload") as stack:
        stack.ready().call("shop.wait", pipe.path, queue="slow")
        former = stack.find("waiting in")
        far = stack.call("shop.note", "far", delay=3600)
        stack.call("shop.late", "one", delay=0)
        stack.find("[deferred]", "shop.late")
        stack.find("[stack]", time.strftime("The stack runs code from %H:"))

        more = """
@app.deferred(queue="mail")
def late(word):
    say("late", word)

@app.periodic(cron="0 3 * * *", cron_name="nightly")
def tidy():
    pass
"""
        shop.write_text(SHOP.replace('"noted"', '"NOTED"') + more)
        line = stack.find(RELOADED)

        assert re.search(
            r"Reloaded after a change of shop\.py in \d+\.\d s\. New queue: mail\."
            r" New cron name: nightly\.$",
            line,
        )
        stack.find("late one")
        stack.call("shop.late", "two", queue="mail")
        stack.find("late two")
        with stack.tasks() as tasks:
            assert tasks.get_queue(name=f"{LOCATION}/queues/mail")
            assert tasks.get_task(name=far.name)
            assert [each.name for each in tasks.list_tasks(parent=f"{LOCATION}/queues/slow")]
        pipe.write("what the former code had begun")
        stack.find("ended with what the former code had begun")
        stack.call("shop.note", "it")
        stack.find("NOTED it")
        assert count(stack, "waiting in") == 1
        assert former


BROKEN = {
    "def (:": r"SyntaxError: invalid syntax \(shop.py, line 1\)",
    "\nimport no_such_thing": r"No module named 'no_such_thing' \(.*shop.py, line 2\)",
    SHOP
    + "note('x')": rf"shop.py line {len(SHOP.splitlines()) + 1} enqueues while being imported, .*",
    SHOP + "app.deferred(3)": r"\(.*shop.py, line \d+\)",
}


def test_code_that_cannot_be_loaded_leaves_the_last_good_code_running(shop: Path) -> None:
    with up(shop.parent, "--port", "0", "--memory", "--reload") as stack:
        stack.ready()
        for number, (code, said) in enumerate(BROKEN.items(), start=1):
            shop.write_text(code)
            line = stack.find("The code from", "keeps running.", count=number)
            assert re.search(said + r"\. The code from \d\d:\d\d keeps running\.$", line)
            stack.call("shop.note", f"after-{number}")
            stack.find(f"noted after-{number} attempt 1")
        assert len([line for line in stack.lines if "Traceback" in line]) == 0

        shop.write_text(SHOP.replace('"noted"', '"NOTED"'))
        stack.find(RELOADED)
        stack.call("shop.note", "again")
        stack.find("NOTED again")


def write(path: Path, text: str) -> None:
    path.write_text(text)


def write_and_rename(path: Path, text: str) -> None:
    path.with_name(".shop.py.tmp").write_text(text)
    path.with_name(".shop.py.tmp").replace(path)


def rename_write_and_delete(path: Path, text: str) -> None:
    path.rename(path.with_name("shop.py~"))
    path.write_text(text)
    path.with_name("shop.py~").unlink()


def test_the_ways_in_which_editors_save_are_all_noticed_and_nothing_else_is(shop: Path) -> None:
    saves: list[Callable[[Path, str], None]] = [write, write_and_rename, rename_write_and_delete]
    with up(shop.parent, "--port", "0", "--reload") as stack:
        stack.ready()
        for number, save in enumerate(saves, start=1):
            # The same size and, mostly, the same second.
            save(shop, SHOP.replace('"noted"', f'"{number}oted"'))
            stack.find(RELOADED, count=number)
            stack.call("shop.note", "word")
            stack.find(f"{number}oted word")
        os.utime(shop)
        stack.find(RELOADED, count=4)

        for ignored in (".venv/lib/a.py", "__pycache__/a.py", ".git/a.py", ".adjourn/a.py",
                        "env/a.py", "notes.txt", ".#shop.py", "shop.py~"):  # fmt: skip
            path = shop.parent / ignored
            path.parent.mkdir(parents=True, exist_ok=True)
            if ignored.startswith("env"):
                path.with_name("pyvenv.cfg").touch()
            path.touch()
        package = shop.parent / "package" / "below"
        package.mkdir(parents=True)
        (package / "module.py").touch()
        stack.find(RELOADED, count=5)
        for number in range(20):  # a burst
            (package / f"module{number}.py").touch()
        line = stack.find(RELOADED, count=6)
        assert re.search(r"of package/below/module\d+\.py and 19 more in", line)
        (package / "module.py").unlink()
        assert "package/below/module.py in" in stack.find(RELOADED, count=7)


def test_code_that_does_not_change_by_itself_is_not_loaded_again_without_a_terminal(
    shop: Path,
) -> None:
    with up(shop.parent, "--port", "0", "--memory") as stack:
        stack.ready()
        shop.write_text("def (:")
        stack.call("shop.note", "as before")
        stack.find("noted as before")
        stack.send(signal.SIGTERM)
        assert stack.end() == 0
        assert count(stack, RELOADED) == count(stack, "keeps running") == 0
