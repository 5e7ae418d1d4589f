"""Tasks in a debugger: in the terminal of `adjourn up`, in an editor, and under pytest."""

import json
import os
import pty
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import adjourn
from adjourn.settings import Settings
from adjourn_local.cli import main
from tests.e2e.up_process import SHOP, up
from tests.support import free_base, variables_of

PROMPT = "(Pdb) "
# What a shell does for a program: its terminal controls it, so that Ctrl-C is a signal.
AS_A_SHELL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
CODE = """
import pdb
import time


@app.deferred
def check(word):
    value = word.upper()
    breakpoint()
    say("went on with", value, "attempt", adjourn.current_task().attempt)


@app.deferred
def spin():
    pdb.set_trace()
    print("spinning", flush=True)
    while True:
        time.sleep(0.01)
"""


class Screen:
    """A terminal in which a program runs: what it shows, and what is typed."""

    def __init__(self, folder: Path, *command: str) -> None:
        self._typed, shown = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", AS_A_SHELL, *command],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
            stdin=shown,
            stdout=shown,
            stderr=shown,
            start_new_session=True,
        )
        os.close(shown)
        self._shown = ""

    def read(self, text: str) -> str:
        """Return what is shown up to a text, waiting for it if need be."""
        give_up = time.monotonic() + 60
        while text not in self._shown:
            ready, _, _ = select.select([self._typed], [], [], give_up - time.monotonic())
            assert ready, f"no {text!r} in {self._shown!r}"
            try:
                self._shown += os.read(self._typed, 65536).decode()
            except OSError:  # the program has ended
                raise AssertionError(f"no {text!r} in {self._shown!r}") from None
        before, self._shown = self._shown.split(text, 1)
        return before

    def ask(self, command: str) -> str:
        """Type a command at the prompt; return what is shown before the next prompt."""
        os.write(self._typed, command.encode())
        return self.read(PROMPT)

    def interrupt(self) -> None:
        """Press Ctrl-C at the prompt, and wait until the debugger has taken it.

        readline may have shown the prompt twice, so the next prompt alone does not tell that.
        """
        self.type("\x03")
        self.read("Ctrl-C again stops the stack.")
        self.read(PROMPT)

    def type(self, text: str) -> None:
        os.write(self._typed, text.encode())

    def end(self) -> int:
        return self.process.wait(timeout=30)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)
        os.close(self._typed)


@contextmanager
def screen(folder: Path, *command: str) -> Iterator[Screen]:
    opened = Screen(folder, *command)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def folder(tmp_path: Path, terminal: tuple[int, int]) -> Path:  # noqa: ARG001 - there is one
    (tmp_path / "shop.py").write_text(SHOP + CODE)
    return tmp_path


def enqueue(variables: Mapping[str, str], name: str, *args: object) -> None:
    app = adjourn.App(Settings.from_env(variables))
    app.deferred(name=name)(lambda *_: None)(*args)


UP = ("-m", "adjourn_local", "up", "shop:app", "--port", "0", "--memory", "--debug")


def test_a_breakpoint_opens_a_debugger_in_the_terminal_for_one_task_at_a_time(folder: Path) -> None:
    with screen(folder, *UP) as shown:
        shown.read("adjourn env")
        variables = variables_of(shown.process.pid, folder)
        enqueue(variables, "shop.check", "a")
        enqueue(variables, "shop.check", "b")
        shown.read(PROMPT)

        assert "'A'" in shown.ask("p value\n")
        # All that is called from adjourn, and nothing that has called it.
        assert shown.ask("w\n").count("shop.py") == 1
        url = variables["ADJOURN_KEYS_URL"].removesuffix("/oauth2/v1/certs")
        assert main(["clock", "advance", "2h", "--url", url]) == 0  # beyond every deadline
        shown.interrupt()
        assert "'A'" in shown.ask("p value\n")
        assert "went on with A attempt 1" in shown.ask("c\n")

        assert "'B'" in shown.ask("p value\n")
        # A task that is given up fails, and comes again.
        assert "#1 WARNING failed: bdb.BdbQuit" in shown.ask("q\n")
        assert "went on with B attempt 2" in shown.ask("n\n")
        shown.interrupt()
        shown.type("\x03")
        shown.read("Stopping")
        assert shown.end() == 0


def test_ctrl_c_stops_a_task_that_runs_in_the_debugger(folder: Path) -> None:
    with screen(folder, *UP) as shown:
        shown.read("adjourn env")
        enqueue(variables_of(shown.process.pid, folder), "shop.spin")
        shown.read(PROMPT)
        shown.type("c\n")
        shown.read("spinning")

        assert "shop.py" in shown.ask("\x03")

        shown.interrupt()
        shown.type("\x03")
        assert shown.end() == 0


def test_without_a_debugger_a_breakpoint_says_what_to_do(folder: Path) -> None:
    with up(folder, "--port", "0", "--memory") as stack:
        stack.ready().call("shop.check", "a")

        line = len((SHOP + CODE).split("breakpoint()")[0].splitlines())
        stack.find(f"shop.py line {line}: breakpoint() does nothing here;", "adjourn up --debug")
        stack.find("went on with A attempt 1")


def test_a_terminal_is_needed(folder: Path) -> None:
    with up(folder, "--port", "0", "--memory", "--debug") as stack:
        assert stack.end() == 2
        stack.find("adjourn: --debug needs a terminal; editors need --debugpy PORT.")


class Editor:
    """What an editor does: it speaks the Debug Adapter Protocol."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._stream = self._socket.makefile("rb")
        self._number = 0

    def ask(self, command: str, **arguments: Any) -> int:
        self._number += 1
        request = {"type": "request", "command": command, "arguments": arguments}
        text = json.dumps({**request, "seq": self._number}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(text), text))
        return self._number

    def hear(self, **wanted: object) -> Any:
        """Return the next message with such fields."""
        while True:
            length = 0
            while line := self._stream.readline().strip():
                length = int(line.split(b":")[1])
            assert length, f"no {wanted}"
            message = json.loads(self._stream.read(length))
            if wanted.items() <= message.items():
                return message

    def answer(self, command: str, **arguments: Any) -> Any:
        return self.hear(request_seq=self.ask(command, **arguments)).get("body")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def test_an_editor_stops_a_task_at_a_line_and_lets_it_go_on(tmp_path: Path) -> None:
    pytest.importorskip("debugpy")
    shop = tmp_path / "shop.py"
    shop.write_text(SHOP)
    line = SHOP.splitlines().index("def note(word):") + 2
    port = free_base()
    with up(tmp_path, "--port", "0", "--memory", "--debugpy", str(port)) as stack:
        stack.ready().find(f"An editor can debug the function deferred at 127.0.0.1:{port}.")
        stack.find(f"An editor can debug the function queryiter at 127.0.0.1:{port + 2}.")
        editor = Editor(port)
        editor.answer("initialize", adapterID="test")
        attached = editor.ask("attach", justMyCode=True)
        editor.hear(event="initialized")
        source = {"path": str(shop)}
        editor.answer("setBreakpoints", source=source, breakpoints=[{"line": line}])
        editor.answer("configurationDone")
        editor.hear(request_seq=attached)

        stack.call("shop.note", "it")

        thread = editor.hear(event="stopped")["body"]["threadId"]
        frames = editor.answer("stackTrace", threadId=thread)["stackFrames"]
        assert [frames[0]["name"], frames[0]["line"]] == ["note", line]
        found = editor.answer("evaluate", expression="word * 2", frameId=frames[0]["id"])
        assert found["result"] == "'itit'"
        editor.ask("continue", threadId=thread)
        stack.find("noted it attempt 1")
        editor.close()


def test_an_editor_needs_debugpy(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['debugpy'] = None; from adjourn_local.cli import main; "
    done = run(tmp_path, "-c", hidden + "main(['up', 'shop:app', '--debugpy', '5678'])")

    assert "debugpy is not installed: pip install debugpy" in done


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_task_is_debugged_under_pytest(folder: Path) -> None:
    (folder / "test_shop.py").write_text("""
from adjourn.testing import inline
from shop import app, check


def test_check():
    with inline(app):
        check("a")
""")
    with screen(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py") as shown:
        shown.read(PROMPT)

        assert "'A'" in shown.ask("p value\n")

        shown.type("c\n")
        shown.read("1 passed")
        assert shown.end() == 0
