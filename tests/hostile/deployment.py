"""The three functions as processes under functions-framework and gunicorn, for hostile requests."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adjourn_local.runtime.addresses import LOCATION, PROJECT, QUEUE, USER_AUDIENCE
from adjourn_local.runtime.ports import find_free
from adjourn_local.runtime.stack import Stack, running
from tests.checkout import ROOT
from tests.terraform.cloud_run import wait_for

ACCOUNT = f"tasks@{PROJECT}.iam.gserviceaccount.com"
JOBS = f"jobs@{PROJECT}.iam.gserviceaccount.com"
PERSON = "ann@shop.example"
NAMES = ("deferred", "cron", "queryiter")
THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a function's processes hold.

    Attributes:
        rss_mb: Memory now.
        peak_mb: The most memory so far.
        threads: Number of threads.
    """

    rss_mb: float
    peak_mb: float
    threads: int


class Function:
    """One function, as the image of Cloud Run starts it.

    Attributes:
        name: Its short name.
        port: Where it listens on loopback.
        url: Its base URL, which is the audience of its tokens.
    """

    def __init__(self, name: str, port: int, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as lines:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).parent / "functions-framework")],
                cwd=ROOT / "functions" / name,
                env=dict(environment),
                stdout=lines,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        wait_for(self.port)

    def lines(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()

    def figures(self) -> Figures:
        """Measure its processes."""
        statuses = [_status(pid) for pid in _with_children(self._process.pid)]
        return Figures(
            rss_mb=sum(each["VmRSS"] for each in statuses) / 1024,
            peak_mb=sum(each["VmHWM"] for each in statuses) / 1024,
            threads=sum(each["Threads"] for each in statuses),
        )

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        finally:
            self._process.kill()


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """The functions and the services that they use.

    Attributes:
        stack: Cloud Tasks, Datastore and the issuer of tokens.
        functions: The functions by name.
        notes: Where the application notes what runs.
    """

    stack: Stack
    functions: Mapping[str, Function]
    notes: Path

    def token(self, name: str) -> str:
        """Return a valid token of the service that calls a function."""
        email = JOBS if name == "cron" else ACCOUNT
        return self.stack.issuer.mint(email, self.functions[name].url)

    def persons_token(self) -> str:
        """Return a valid token of a person who may start callable tasks."""
        return self.stack.issuer.mint(PERSON, USER_AUDIENCE)

    def executed(self) -> Counter[str]:
        """Return how often what has run."""
        return Counter(self.notes.read_text().splitlines() if self.notes.exists() else ())


def environment(name: str, ports: Mapping[str, int], stack: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a function: those that Terraform sets, and those of Cloud Run.

    It verifies tokens itself, since there is no front end of Cloud Run here.

    Args:
        name: Name of the function.
        ports: The ports of all functions.
        stack: The variables that lead to the services.
    """
    urls = {f"ADJOURN_{each.upper()}_URL": f"http://127.0.0.1:{ports[each]}" for each in NAMES}
    deferred = {"ADJOURN_MAX_ATTEMPTS": f"{QUEUE}=20", "ADJOURN_PEOPLE_AUDIENCES": USER_AUDIENCE}
    return {
        **stack,
        **urls,
        "ADJOURN_APP": "tests.hostile.application:app",
        "ADJOURN_CALLERS": JOBS if name == "cron" else ACCOUNT,
        "ADJOURN_DATASTORE_TIMEOUT": "10",
        "ADJOURN_FUNCTION_TIMEOUT": "1800",
        "ADJOURN_JOB_LOCATION": LOCATION,
        "ADJOURN_LOCATION": LOCATION,
        "ADJOURN_PLATFORM": "verify",
        "ADJOURN_PROJECT": PROJECT,
        "ADJOURN_QUEUE": QUEUE,
        "ADJOURN_RETRY_WARNING": "25",
        "ADJOURN_SERVICE_ACCOUNT": ACCOUNT,
        "FORWARDED_ALLOW_IPS": "255.255.255.255",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "LOG_EXECUTION_ID": "true",
        "THREADS": str(THREADS),
        **(deferred if name == "deferred" else {}),
        "CLOUD_RUN_TIMEOUT_SECONDS": "1800",
        "FUNCTION_SIGNATURE_TYPE": "http",
        "FUNCTION_TARGET": name,
        "K_REVISION": f"adjourn-{name}-00001-xyz",
        "K_SERVICE": f"adjourn-{name}",
        "PORT": str(ports[name]),
    }


@contextmanager
def deployed(folder: Path, **changes: str) -> Iterator[Deployment]:
    """Run the functions and what they need.

    Args:
        folder: Where logs and notes are kept.
        changes: Variables that differ.
    """
    stack = Stack(None)
    with running(stack) as loop, ExitStack() as closing:
        loop.run(_make_queue(stack))
        ports = dict(zip(NAMES, find_free(len(NAMES)), strict=True))
        led = {
            name: value
            for name, value in stack.ports.environment().items()
            if name.endswith("_EMULATOR_HOST") or name == "ADJOURN_KEYS_URL"
        }
        functions = {}
        for name in NAMES:
            home = closing.enter_context(tempfile.TemporaryDirectory())
            image = {
                "HOME": home,
                "PATH": os.defpath,
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "TRUE",
                "HOSTILE_NOTES": str(folder / "notes"),
                "XDG_RUNTIME_DIR": home,
            }
            variables = {**image, **environment(name, ports, led), **changes}
            functions[name] = Function(name, ports[name], variables, folder / f"{name}.log")
            closing.callback(functions[name].stop)
        for function in functions.values():
            function.wait()
        yield Deployment(stack=stack, functions=functions, notes=folder / "notes")


async def _make_queue(stack: Stack) -> None:
    stack.tasks.ensure_queue(f"projects/{PROJECT}/locations/{LOCATION}/queues/{QUEUE}")


def _with_children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid, *(found for each in text.split() for found in _with_children(int(each)))]


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return {name: int(found[name].split()[0]) for name in ("VmRSS", "VmHWM", "Threads")}
