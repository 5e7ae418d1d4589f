"""The examples as a reader has them: copied, started as their images start them, and called.

`adjourn up --serve` calls their servers; what they do is seen through their own pages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from typing import NamedTuple

import pytest
import requests
from packaging.requirements import Requirement

from adjourn_local.runtime.ports import find_free
from tests.checkout import copy_checkout, deploy
from tests.e2e.up_process import LOCATION, ROOT, Up, up
from tests.terraform.cloud_run import wait_for

APPS = {
    "flask": "newsletter.tasks:app",
    "fastapi": "linkcheck.tasks:app",
    "django": "library.worker:app",
}
TESTS = {
    "flask": ("-m", "pytest", "-q"),
    "fastapi": ("-m", "pytest", "-q"),
    "django": ("manage.py", "test"),
}
QUEUES = {
    "flask": ["default", "mail"],
    "fastapi": ["default", "links"],
    "django": ["default", "mail"],
}
PREPARE = """
from library.worker import app
from django.contrib.auth.models import User
from django.core.management import call_command
from library.models import Book
call_command("migrate", verbosity=0)
Book.objects.create(title="Emma")
User.objects.create_superuser("eve", password="secret")
"""


class Example(NamedTuple):
    """A running example and the stack that calls it."""

    url: str
    stack: Up

    def put(self, path: str, **options: object) -> requests.Response:
        return requests.put(f"{self.url}{path}", timeout=20, **options)  # type: ignore[arg-type]

    def get(self, path: str) -> object:
        answer = requests.get(f"{self.url}{path}", timeout=20)
        return answer.json() if answer.ok else answer.status_code

    def show(self, path: str, wanted: object) -> None:
        """Wait until a page shows what is wanted."""
        give_up = time.monotonic() + 30
        while (found := self.get(path)) != wanted:
            assert time.monotonic() < give_up, f"{path} shows {found}"
            time.sleep(0.02)


def copied(name: str, folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.sqlite3")
    return Path(shutil.copytree(ROOT / "examples" / name, folder / name, ignore=ignored))


def environment(**more: str) -> dict[str, str]:
    """Return the variables of this process without what leads to the checkout's own modules."""
    programs = str(Path(sys.executable).parent)
    kept = {n: v for n, v in os.environ.items() if n != "DJANGO_SETTINGS_MODULE"}
    return {**kept, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": "", **more}


@contextmanager
def running(name: str, folder: Path) -> Iterator[Example]:
    example, (port,) = copied(name, folder), find_free(1)
    url = f"http://127.0.0.1:{port}"
    (command,) = re.findall(r"^CMD (.*)$", (example / "Dockerfile").read_text(), re.MULTILINE)
    options = ("--memory", "--port", "0", "--serve", url)
    with up(example, *options, app=APPS[name]) as stack:
        variables = environment(**stack.ready().variables, PORT=str(port))
        process = subprocess.Popen(json.loads(command), cwd=example, env=variables)
        try:
            wait_for(port)
            yield Example(url, stack)
        finally:
            process.terminate()
            process.wait(20)


def test_flask_welcomes_subscribers_and_sends_an_issue_to_each(tmp_path: Path) -> None:
    with running("flask", tmp_path) as example:
        for who in ("ann", "bob", "eve"):
            assert example.put(f"/subscribers/{who}@shop.example").status_code == 202
        for who in ("ann", "bob", "eve"):
            example.show(f"/subscribers/{who}@shop.example", {"is_welcomed": True})

        assert example.put("/issues/spring", data="It is spring.").status_code == 202

        example.show("/issues/spring", {"sent": 3})


@contextmanager
def website(links: int) -> Iterator[str]:
    """Serve pages, none of which is answered before all are asked for."""
    meeting = Barrier(links, timeout=25)

    class Page(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            meeting.wait()
            self.send_response(404 if self.path == "/0" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = links

    server = Server(("127.0.0.1", 0), Page)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_fastapi_looks_at_links_side_by_side_on_the_loop_of_lifespan(tmp_path: Path) -> None:
    with website(30) as url, running("fastapi", tmp_path) as example:
        links = [f"{url}/{number}" for number in range(30)]

        assert example.put("/pages/home", json=links).json() == {"enqueued": 30}

        example.show("/pages/home", {link: 404 if link == links[0] else 200 for link in links})


def mail(stack: Up) -> list[str]:
    """Return the tasks in the queue for mail."""
    with stack.tasks() as tasks:
        return [each.name for each in tasks.list_tasks(parent=f"{LOCATION}/queues/mail")]


def test_django_enqueues_on_commit_alone_and_from_its_admin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PATH", str(tmp_path / "library.sqlite3"))
    prepare = [sys.executable, "-c", PREPARE]
    subprocess.run(prepare, cwd=ROOT / "examples" / "django", env=environment(), check=True)
    loan = {"title": "Emma", "reader": "ann@shop.example"}
    with running("django", tmp_path) as example:
        lent = requests.post(f"{example.url}/loans", loan, timeout=20)
        assert (lent.status_code, lent.json()) == (201, {"loan": 1})
        example.show("/loans/1", {"is_confirmed": True, "reminders": 0})

        # There is no second copy: the loan is rolled back, and with it the calls.
        assert requests.post(f"{example.url}/loans", loan, timeout=20).status_code == 409
        assert example.get("/loans/2") == 404
        (reminder,) = mail(example.stack)
        with example.stack.tasks() as tasks:
            tasks.run_task(name=reminder)
        example.show("/loans/1", {"is_confirmed": True, "reminders": 1})

        with signed_in(f"{example.url}/admin/login/") as post:
            chosen = {"action": "remind_readers", "_selected_action": "1"}
            shown = post(f"{example.url}/admin/library/loan/", chosen)
        assert "1 readers are reminded." in shown.text
        example.show("/loans/1", {"is_confirmed": True, "reminders": 2})


Post = Callable[[str, dict[str, str]], requests.Response]


@contextmanager
def signed_in(url: str) -> Iterator[Post]:
    """Return what posts forms in the session of somebody of the staff."""
    with requests.Session() as session:

        def post(url: str, form: dict[str, str]) -> requests.Response:
            token = {"csrfmiddlewaretoken": session.cookies["csrftoken"]}
            return session.post(url, form | token, headers={"Referer": url}, timeout=20)

        session.get(url, timeout=20)
        assert post(url, {"username": "eve", "password": "secret", "next": "/admin/"}).ok
        yield post


@pytest.mark.parametrize("name", APPS)
def test_an_example_passes_its_own_tests(name: str, tmp_path: Path) -> None:
    command = [sys.executable, *TESTS[name]]
    done = subprocess.run(
        command,
        cwd=copied(name, tmp_path),
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(r"[1-9] passed|Ran [1-9] tests", done.stdout + done.stderr)


def test_deploy_takes_the_examples(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path)
    for name, app in APPS.items():
        done = deploy(checkout, "package", app, "--service", cwd=copied(name, tmp_path))

        assert done.returncode == 0, done.stderr
        declared = json.loads((checkout / "build" / "adjourn.auto.tfvars.json").read_text())
        assert declared["queue_names"] == QUEUES[name]


@pytest.mark.parametrize("name", APPS)
def test_the_examples_need_what_was_tested(name: str) -> None:
    lines = (ROOT / "examples" / name / "requirements.txt").read_text().splitlines()
    tested = (ROOT / "requirements-dev.txt").read_text()

    assert lines
    for line in lines:
        requirement = Requirement(line)
        assert f"\n{requirement.name}{requirement.specifier} " in tested


def test_an_image_has_what_its_program_imports() -> None:
    for name in APPS:
        folder = ROOT / "examples" / name
        dockerfile = (folder / "Dockerfile").read_text()
        packages = [path.parent.name for path in folder.glob("*/__init__.py")]

        assert packages
        for package in packages:
            assert f"COPY {package} ./{package}\n" in dockerfile
