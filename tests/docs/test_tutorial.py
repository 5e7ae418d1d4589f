"""The tutorial as a reader goes through it: each box is typed or saved, and shows what happens."""

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BOX = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
PATIENCE = 60  # seconds


@dataclass
class Terminal:
    """A terminal in which a program runs that does not end by itself."""

    lines: list[str] = field(default_factory=list)
    seen: int = 0
    grown: threading.Condition = field(default_factory=threading.Condition)

    def start(
        self, command: str, folder: Path, environment: dict[str, str]
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            shlex.split(command),
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                with self.grown:
                    self.lines.append(line.rstrip())
                    self.grown.notify_all()

    def expect(self, wanted: str) -> None:
        """Wait for a line, after those that were expected before."""

        def found() -> bool:
            for number, line in enumerate(self.lines[self.seen :], self.seen + 1):
                if matches(wanted, line):
                    self.seen = number
                    return True
            return False

        with self.grown:
            assert self.grown.wait_for(found, PATIENCE), f"{wanted!r}\n" + "\n".join(self.lines)


def matches(wanted: str, line: str) -> bool:
    """Return whether a line is as it is shown, where `…` stands for anything."""
    parts = [re.escape(part) for part in wanted.rstrip().split("…")]
    return re.fullmatch(".*".join(parts), line.rstrip()) is not None


def boxes() -> list[tuple[str, str, str]]:
    found = BOX.findall(TUTORIAL.read_text(encoding="utf-8"))
    start = next(at for at, (kind, _, _) in enumerate(found) if kind == "python")
    return found[start:]  # the first one installs, as this environment already is


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a shell in which adjourn is installed."""
    programs = tmp_path_factory.mktemp("bin")
    for name, call in (
        ("adjourn", "from adjourn_local.cli import main; sys.exit(main())"),
        ("pytest", "import pytest; sys.exit(pytest.main(PLUGINS + sys.argv[1:]))"),
    ):
        plugins = ["-p", "adjourn.testing.plugin", "-p", "no:cacheprovider"]
        program = programs / name
        program.write_text(f"#!{sys.executable}\nimport sys\nPLUGINS = {plugins!r}\n{call}\n")
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | {"PATH": path, "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'local'}"}


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    with ExitStack() as closing:
        yield processes
        for process in processes:
            closing.callback(process.wait, PATIENCE)
            process.terminate()  # Ctrl-C is ignored by what a shell's background job starts


def run(command: str, shown: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Type a command that ends, and compare what it prints."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    said = done.stdout.splitlines()
    for line in shown:
        place = next((at for at, each in enumerate(said) if matches(line, each)), None)
        assert place is not None, f"{command}: {line!r} is not in\n{done.stdout}"
        del said[: place + 1]


def test_the_tutorial_can_be_followed(
    tmp_path: Path, environment: dict[str, str], started: list[subprocess.Popen[str]]
) -> None:
    terminals: dict[str, Terminal] = {}
    commands = []
    for kind, title, text in boxes():
        if kind != "console":
            (tmp_path / title).write_text(text)
            continue
        typed = re.match(r"\$ (.*)\n", text)
        command = typed[1] if typed else ""
        commands.append(command)
        shown = [line for line in text.splitlines()[bool(typed) :] if line != "…"]
        if not title:
            run(command, shown, tmp_path, environment)
            continue
        terminal = terminals.setdefault(title, Terminal())
        if command:
            # Free ports, and reloading although nobody types here.
            more = " --port 0 --reload" if command.startswith("adjourn up") else ""
            started.append(terminal.start(command + more, tmp_path, environment))
        for line in shown:
            terminal.expect(line)
    assert len(list(filter(None, commands))) >= 8


def test_a_line_that_is_shown_otherwise_is_found() -> None:
    assert matches("…Receipt of A-1 sent", "[deferred] Receipt of A-1 sent")
    assert matches("a … c", "a b c  ")
    assert not matches("Receipt", "[deferred] Receipt")
    assert not matches("a.c", "abc")
