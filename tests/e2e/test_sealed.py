"""Keys are turned on and replaced while tasks wait, in the processes that are deployed."""

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from adjourn.gcp import google_adapters
from adjourn.settings import Settings
from adjourn_local.clients.callable_tasks import CallableTasks, local_token
from adjourn_local.runtime.addresses import USER_AUDIENCE
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack, running
from tests.checkout import ROOT
from tests.e2e.application import app, limited, load, loaded, moody, say
from tests.e2e.conftest import Ear, Log

HOUR = dt.timedelta(hours=1)
SECRET = "s3cret-argument"
OLD = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
NEW = "HxAdHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"
VARIABLES = ("ADJOURN_ENVELOPE_KEY", "ADJOURN_ENVELOPE_SEAL", "ADJOURN_ENVELOPE_REQUIRED")


class Deployment:
    """A laptop stack whose functions are replaced by ones with other keys."""

    def __init__(self, stack: Stack, loop: LoopThread, patch: pytest.MonkeyPatch) -> None:
        self._stack, self._loop, self._patch = stack, loop, patch
        self.environment = dict(stack.ports.environment())

    def deploy(self, *values: str) -> None:
        """Replace the functions by ones with these values of the variables."""
        self._set(values)
        self._loop.run(self._stack.reload())
        self._set(())

    @contextmanager
    def enqueuer(self, *values: str) -> Iterator[None]:
        """Let this process enqueue with these values of the variables."""
        chosen = dict(zip(VARIABLES, values, strict=False))
        settings = Settings.from_env({**self.environment, **chosen})
        with app.rewired(settings, google_adapters(settings, None)):
            yield

    def advance(self, by: dt.timedelta) -> None:
        async def jump() -> None:
            self._stack.clock.jump(self._stack.clock.now() + by)

        self._loop.run(jump())

    def adjourn(self, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line, with a key and seals required if there is one."""
        own = dict(zip(VARIABLES, (key, "encrypted", "true"), strict=True)) if key else {}
        return subprocess.run(
            [sys.executable, "-m", "adjourn_local", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _set(self, values: tuple[str, ...]) -> None:
        for name, value in zip(VARIABLES, (*values, "", "", "")[:3], strict=True):
            self._patch.setenv(name, value) if value else self._patch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def lines() -> Log:
    return Log()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sealed")


@pytest.fixture(scope="module")
def deployment(ear: Ear, lines: Log, folder: Path) -> Iterator[Deployment]:  # noqa: ARG001 - the functions inherit the ear
    stack = Stack("tests.e2e.application:app", state=folder, write=lines.write)
    with pytest.MonkeyPatch.context() as patch, running(stack) as loop:
        yield Deployment(stack, loop, patch)


@pytest.fixture(autouse=True)
def _environment(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in deployment.environment.items():  # Google's clients read some of them
        monkeypatch.setenv(name, value)


def test_keys_are_turned_on_and_replaced_and_every_call_runs(
    deployment: Deployment, ear: Ear, lines: Log
) -> None:
    """Each step first in the functions, then in the enqueuers, as the documentation says."""
    late = say.options(delay=2 * HOUR)
    # Nobody has a key. Then the functions have one and accept what has no seal.
    with deployment.enqueuer():
        late.defer("unsealed and late")
        deployment.deploy(OLD)
        say("unsealed")
        assert ear.hear() == "unsealed"
    lines.find('"seal.missing"')
    # The enqueuers seal.
    with deployment.enqueuer(OLD, "encrypted"):
        late.defer("sealed with the old key and late")
        say("sealed")
        assert ear.hear() == "sealed"
    # The functions know the new key and still seal with the old one; then the enqueuers change.
    deployment.deploy(f"{OLD},{NEW}", "encrypted")
    with deployment.enqueuer(NEW, "encrypted"):
        late.defer("sealed with the new key and late")
        say("sealed anew")
        assert ear.hear() == "sealed anew"
    deployment.deploy(f"{NEW},{OLD}", "encrypted")
    with deployment.enqueuer(OLD, "encrypted"):
        last = say("from the last enqueuer with the old key")
        assert ear.hear() == "from the last enqueuer with the old key"
        while last.fetch():  # its answer would come too late after the jump
            pass
    lines.find('"seal.old_key"')

    deployment.advance(2 * HOUR)

    assert {ear.hear() for _ in range(3)} == {
        "unsealed and late",
        "sealed with the old key and late",
        "sealed with the new key and late",
    }


def test_a_function_waits_for_a_key_that_is_deployed_after_the_enqueuers(
    deployment: Deployment, ear: Ear, lines: Log
) -> None:
    deployment.deploy(OLD)
    with deployment.enqueuer(NEW):
        handle = say.options(min_backoff=1, max_backoff=1).defer("at last")
        lines.find('"seal.unknown_key"', handle.name.rpartition("/")[2])

    deployment.deploy(f"{NEW},{OLD}")

    assert ear.hear() == "at last"


def test_where_seals_are_required_nothing_runs_without_one(
    deployment: Deployment, ear: Ear, lines: Log
) -> None:
    deployment.deploy(NEW, "encrypted", "true")
    with deployment.enqueuer():
        handle = say("without a seal")
        line = lines.find('"task.dead"', handle.name.rpartition("/")[2])
        (letter,) = re.findall(r"undecodable-[0-9a-f]+", line)[:1]
    refused = deployment.adjourn("dead", "replay", letter, key=NEW)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is not sealed, so anybody may have made it" in refused.stderr

    assert deployment.adjourn("dead", "replay", letter, "--vouch", key=NEW).returncode == 0
    assert ear.hear() == "without a seal"

    token = local_token(
        deployment.environment["ADJOURN_KEYS_URL"], "ann@shop.example", USER_AUDIENCE
    )
    CallableTasks(url=deployment.environment["ADJOURN_DEFERRED_URL"], token=token).start("bow", {})
    assert ear.hear() == "bows"


def test_what_the_command_line_enqueues_is_sealed_once(deployment: Deployment, ear: Ear) -> None:
    deployment.deploy(NEW, "encrypted", "true")
    mended = Path(f"{ear.path}.mended")
    with deployment.enqueuer(NEW, "encrypted", "true"):
        with app.batch(name="sealed", on_done=loaded) as batch:
            batch.add(load, "broken")
        assert [ear.hear(), ear.hear()] == ["broken", "sealed 0 1 0"]
        flow = limited.name
        app.flows().pause(flow, "sealed")
        handle = limited("sealed", "resumed")
        while (state := handle.fetch()) is None or state.last_status != "WAITING":
            pass

    mended.touch()
    assert deployment.adjourn("batches", "retry", "sealed", key=NEW).returncode == 0
    assert [ear.hear(), ear.hear()] == ["broken", "sealed 1 0 0"]
    mended.unlink()
    resumed = deployment.adjourn("flows", "resume", flow, "--key", "sealed", key=NEW)
    assert resumed.returncode == 0
    assert ear.hear() == "resumed"


def test_what_is_encrypted_is_readable_with_the_key_alone(
    deployment: Deployment, ear: Ear, lines: Log, folder: Path, tmp_path: Path
) -> None:
    deployment.deploy(NEW, "encrypted", "true")
    mood = tmp_path / "mood"
    with deployment.enqueuer(NEW, "encrypted"):
        small = moody(str(mood), padding=SECRET)
        large = moody(str(mood), padding=SECRET * 200_000)
        for handle in (small, large):
            lines.find('"task.dead"', str(handle.id))
            assert ear.hear() == "moody"
    assert small.id is not None

    hidden = deployment.adjourn("dead", "show", small.id)
    assert re.search(r"Sealed with the key [0-9a-f]{8}; set ADJOURN_ENVELOPE_KEY", hidden.stdout)
    assert SECRET not in hidden.stdout
    for options in ((), ("--json",)):
        assert SECRET in deployment.adjourn("dead", "show", small.id, *options, key=NEW).stdout
    without = deployment.adjourn("dead", "replay", small.id)
    assert without.returncode == 1
    assert "set ADJOURN_ENVELOPE_KEY" in without.stderr

    mood.touch()
    for handle in (small, large):
        assert deployment.adjourn("dead", "replay", str(handle.id), key=NEW).returncode == 0
        assert ear.hear() == "moody"
    at_rest = b"".join(path.read_bytes() for path in folder.glob("adjourn.sqlite3*"))
    assert b"tests.e2e.application.moody" in at_rest  # the names of tasks are
    assert SECRET.encode() not in at_rest
    assert not any(SECRET in line for line in lines.all())


def test_the_command_line_makes_keys(deployment: Deployment) -> None:
    keys = {deployment.adjourn("key").stdout.strip() for _ in range(2)}

    assert len(keys) == 2
    for key in keys:
        environment: Mapping[str, str] = {**deployment.environment, VARIABLES[0]: key}
        assert Settings.from_env(environment).envelope_key == (key,)
