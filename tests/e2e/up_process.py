"""`adjourn up` as a process of its own, whose lines a test waits for."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn
from adjourn.settings import Settings
from tests.support import variables_of

LOCATION = "projects/adjourn-local/locations/europe-west1"
ROOT = Path(__file__).resolve().parents[2]

# Its tasks wait for what a test writes into a named pipe.
SHOP = """
import os
import adjourn

app = adjourn.App()


def say(*words):
    print(*words, flush=True)


@app.deferred
def note(word):
    say("noted", word, "attempt", adjourn.current_task().attempt)


@app.deferred(queue="slow")
def wait(pipe):
    say("waiting in", os.getpid())
    with open(pipe) as opened:
        say("ended with", opened.read())
"""


class Up:
    """A running stack: its lines so far, and the variables that lead to it."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self._folder = folder
        self.lines: list[str] = []
        self.has_ended = False
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def find(self, *texts: str, count: int = 1) -> str:
        """Return the line, or so many-th of them, that has all texts, waiting for it if need be."""

        def found() -> list[str]:
            return [line for line in self.lines if all(text in line for text in texts)]

        with self._grown:
            self._grown.wait_for(lambda: len(found()) >= count or self.has_ended, timeout=60)
        assert len(found()) >= count, f"not {count} lines with {texts} in\n" + "\n".join(self.lines)
        return found()[count - 1]

    def ready(self) -> "Up":
        self.find("adjourn is up for ")
        return self

    @cached_property
    def variables(self) -> Mapping[str, str]:
        self.ready()
        return variables_of(self.process.pid, self._folder)

    def call(self, name: str, *args: object, **options: Any) -> adjourn.TaskHandle:
        """Enqueue a call of the application's function."""
        app = adjourn.App(Settings.from_env(self.variables))
        task = app.deferred(name=name, queue=options.pop("queue", "default"))(_anything)
        return task.options(**options).defer(*args)

    @contextmanager
    def tasks(self) -> Iterator[tasks_v2.CloudTasksClient]:
        with grpc.insecure_channel(self.variables["CLOUDTASKS_EMULATOR_HOST"]) as channel:
            yield tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Return the exit status once the stack has ended and all its lines are there."""
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        return status

    def stop(self) -> int:
        self.send(signal.SIGINT)
        return self.end()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                with self._grown:
                    self.lines.append(line.rstrip("\n"))
                    self._grown.notify_all()
        with self._grown:
            self.has_ended = True
            self._grown.notify_all()


def _anything(*args: object) -> None:
    """Stand in for a function of the application."""


@contextmanager
def up(folder: Path, *options: str, app: str = "shop:app", **environment: str) -> Iterator[Up]:
    """Start a stack in a folder, without functions if it has no application; kill it in the end."""
    command = ["up", app] if app else ["emulators"]
    process = subprocess.Popen(
        [sys.executable, "-m", "adjourn_local", *command, *options],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Up(process, folder)
    try:
        yield running
    finally:
        process.kill()
        running.end()


class Pipe:
    """A named pipe that a task reads from: it waits until the test writes."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)

    def write(self, word: str) -> None:
        Path(self.path).write_text(word)
