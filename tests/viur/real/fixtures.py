"""Fixtures of the tests against ViUR itself."""

import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import flask
import pytest
from werkzeug.serving import make_server

from adjourn_local.runtime.addresses import Ports
from adjourn_local.runtime.harness import RunningStack, _connected
from adjourn_local.runtime.servers import ServerOptions
from adjourn_local.runtime.stack import Stack, running
from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tasks.options import TasksOptions
from tests.viur.environments import ROOT
from tests.viur.real import worlds


@dataclass
class Printed:
    """What the functions have printed."""

    lines: list[str] = field(default_factory=list)
    grown: threading.Condition = field(default_factory=threading.Condition)

    def write(self, name: str, line: str) -> None:
        with self.grown:
            self.lines.append(f"{name} {line}")
            self.grown.notify_all()


@pytest.fixture(scope="session")
def printed() -> Printed:
    return Printed()


@pytest.fixture(scope="session")
def app_engine() -> Iterator[str]:
    """Serve the task module's endpoints as a service of App Engine does; return its URL."""
    web = flask.Flask("app_engine")

    def answer(name: str) -> object:
        handler = importlib.import_module("adjourn.viur").TaskHandler()
        return getattr(handler, name)(flask.request)

    web.add_url_rule("/_tasks/<name>", view_func=answer, methods=["GET", "POST"])
    server = make_server("127.0.0.1", 0, web, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, printed: Printed, app_engine: str
) -> Iterator[RunningStack]:
    """Run the moved modules on the laptop stack."""
    folder = tmp_path_factory.mktemp("application")
    worlds.move(folder)
    paths = [str(folder), str(ROOT), str(ROOT / "shared"), str(ROOT / "local")]
    sys.path.insert(0, str(folder))
    ports = Ports(**json.loads(os.environ["TEST_STACK_PORTS"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        main = importlib.import_module(f"{worlds.MOVED}.main")
        options = TasksOptions(app_engine={"default": app_engine})
        # Cron functions run when a test says so, and not at the next full minute.
        patch.setattr(SchedulerServer, "ensure_job", lambda *_args, **_job: None)
        stack = Stack(
            f"{worlds.MOVED}.main:app", write=printed.write, servers=ServerOptions(tasks=options)
        )
        stack.ports = ports
        with running(stack) as loop, _connected(stack, main.app, loop) as handle:
            yield handle


@pytest.fixture(scope="session")
def adjourn_world(stack: RunningStack) -> worlds.AdjournWorld:
    return worlds.AdjournWorld(stack, sys.modules[f"{worlds.MOVED}.main"].main_app)


@pytest.fixture(scope="session")
def viur_world(stack: RunningStack) -> worlds.ViurWorld:
    return worlds.ViurWorld()
