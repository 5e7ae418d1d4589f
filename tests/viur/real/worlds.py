"""The twelve modules under ViUR's own tasks and under adjourn, and what they leave behind."""

import datetime as dt
import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.request import Request, urlopen

from google.cloud import datastore

from adjourn_local.runtime.addresses import PROJECT, SERVICE_ACCOUNT, USER_AUDIENCE
from adjourn_local.runtime.harness import RunningStack
from adjourn_local.tokens.user_tokens import TOKEN_PATH
from tests.viur.real.world import in_request

MODULES = Path(__file__).parent / "modules"
_OTHERS = {"site", "probe"}
NAMES = sorted(path.stem for path in MODULES.glob("*.py") if path.stem not in _OTHERS)
MOVED = "moved"

_IMPORT = "from viur.core.tasks import"
_MAIN = '''"""The application after the move: what took the place of `core.setup`."""

import os

from tests.viur.real import world

world.prepare(os.environ)

from adjourn.viur import app  # noqa: E402
from moved import {names}, probe, site  # noqa: E402, F401
from tests.viur.real import skeletons  # noqa: E402

skeletons.initialize()
main_app = site.main_app()
app.add_main_app(main_app)
'''


def move(folder: Path) -> None:
    """Write the modules to a folder, with nothing but their import lines changed."""
    package = folder / MOVED
    package.mkdir(parents=True)
    for path in MODULES.glob("*.py"):
        source = path.read_text()
        source = source.replace(_IMPORT, "from adjourn.viur import")
        (package / path.name).write_text(source.replace("tests.viur.real.modules", MOVED))
    (package / "main.py").write_text(_MAIN.format(names=", ".join(NAMES)))


class ViurWorld:
    """Runs modules under ViUR's own tasks, in their synchronous form."""

    is_viur = True

    def __init__(self) -> None:
        self.main_app = self.module("site").main_app()
        conf = importlib.import_module("viur.core.config").conf
        conf.main_app = self.main_app
        self.tasks = importlib.import_module("viur.core.tasks")
        self.tasks.queueRegion = None
        if hasattr(self.tasks, "time"):  # of two attempts at an entry, five seconds apart
            self.tasks.time = SimpleNamespace(sleep=lambda _seconds: None)
        self._handler = self.tasks.TaskHandler("_tasks", "_tasks")

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"tests.viur.real.modules.{name}")

    def run(self, function) -> None:
        in_request(function)

    def settle(self) -> None:
        from viur.core import current

        request = current.request.get()
        while request.pendingTasks:
            request.pendingTasks.pop()()

    def cron(self, name: str) -> None:
        self._handler.cron(name)

    def startup(self) -> None:
        self.tasks.runStartupTasks()

    def execute(self, cls, values) -> None:
        task = self.tasks._callableTasks[cls.key]()
        skeleton = task.dataSkel()
        assert skeleton.fromClient(values), skeleton.errors
        task.execute(**skeleton.accessedValues)


class AdjournWorld:
    """Runs modules under adjourn, on the laptop stack."""

    is_viur = False

    def __init__(self, stack: RunningStack, main_app) -> None:
        self._stack = stack
        self.main_app = main_app

    def module(self, name: str) -> ModuleType:
        return sys.modules[f"{MOVED}.{name}"]

    def run(self, function) -> None:
        function()
        self.settle()

    def settle(self) -> None:
        """Wait until no task is left; what is to come later comes now, by the stack's clock."""
        until = time.monotonic() + 60
        while tasks := list(self._stack._queued()):
            assert time.monotonic() < until, tasks
            first = min(task.schedule_time for task in tasks)
            if first > self._stack.now():
                self._stack.travel(to=first + dt.timedelta(seconds=1))
            time.sleep(0.02)

    def cron(self, name: str) -> None:
        url = self._stack.ports.url("cron")
        token = self._stack._stack.issuer.mint(SERVICE_ACCOUNT, url)
        _post(f"{url}/{name}", {}, {"Authorization": f"Bearer {token}"})
        self.settle()

    def startup(self) -> None:
        self._stack.app.run_startup_tasks(wait=True)

    def execute(self, cls, values) -> None:
        url = f"http://127.0.0.1:{self._stack.ports.http}"
        token = _post(
            f"{url}{TOKEN_PATH}", {"email": "ann@shop.example", "audience": USER_AUDIENCE}
        )
        headers = {"Authorization": f"Bearer {token['token']}"}
        _post(f"{self._stack.ports.url('deferred')}/execute/{cls.key}", values, headers)


def _post(url: str, content: object, headers: dict[str, str] | None = None):
    body = json.dumps(content).encode()
    whole = {"Content-Type": "application/json", **(headers or {})}
    with urlopen(Request(url, body, whole, method="POST")) as answer:
        return json.loads(answer.read() or b"null")


# Startup tasks run when an instance starts, whatever else is tested at that time.
_OF_STARTUP = {"staff", "version"}


def effects(name: str) -> dict[str, dict[str, object]]:
    """Return all entities but adjourn's and ViUR's own, with their values as text."""
    return {
        "/".join(map(str, entity.key.flat_path)): {
            name: _plain(value) for name, value in sorted(entity.items())
        }
        for entity in _entities()
        if name == "startup" or entity.key.kind not in _OF_STARTUP
    }


def clear() -> None:
    """Delete all entities but adjourn's own."""
    client = datastore.Client(project=PROJECT)
    client.delete_multi([entity.key for entity in _entities()])


def _entities():
    client = datastore.Client(project=PROJECT)
    for entity in client.query().fetch():
        if not entity.key.kind.startswith(("Adjourn", "viur-", "__")):
            yield entity


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return repr(value) if not hasattr(value, "flat_path") else f"key {value.flat_path}"
