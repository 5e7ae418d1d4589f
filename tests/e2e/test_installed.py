"""What is built and installed of both packages: all that it needs, and nothing left behind."""

import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import adjourn
from tests.installed import ROOT, copy_sources, install, make_environment, run

SHOP = "import adjourn\n\napp = adjourn.App()\n"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def wheel(source: Path | str, output: Path) -> Path:
    """Build a wheel as `pip install` does."""
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(output))
    run(sys.executable, "-m", "pip", "wheel", *options, str(source))
    (found,) = output.glob("*.whl")
    return found


def contents(path: Path) -> Mapping[str, bytes]:
    """Return the files of a wheel, but for the list of them, whose order may differ."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return copy_sources(tmp_path / "adjourn")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the Python of an environment with adjourn, whose sources are gone."""
    folder = tmp_path_factory.mktemp("installed")
    sources = copy_sources(folder / "adjourn")
    python = make_environment(folder / "venv")
    before = files(sources)
    install(python, str(sources / "shared"), str(sources / "local"))
    assert files(sources) == before, "installing leaves files behind"
    shutil.rmtree(sources)
    return python


def test_the_version_is_told_by_the_library_the_command_and_the_packages(python: Path) -> None:
    code = (
        "import adjourn; from importlib.metadata import version as v;"
        "print(adjourn.__version__, v('adjourn'), v('adjourn-local'))"
    )

    assert run(str(python), "-c", code).split() == [adjourn.__version__] * 3
    assert run(str(python.parent / "adjourn"), "--version") == f"adjourn {adjourn.__version__}\n"


def test_an_installed_adjourn_packages_the_same_bytes_as_the_checkout(
    python: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    pinned = f"adjourn=={adjourn.__version__}\n"  # as a lock file of the shop has it
    (tmp_path / "requirements.txt").write_text(pinned)
    options = ("shop:app", "--source", str(tmp_path), "--output")

    run(str(python.parent / "adjourn"), "package", *options, str(tmp_path / "installed"))
    run(sys.executable, "-m", "adjourn_local", "package", *options, str(tmp_path / "checkout"))

    installed, checkout = (
        json.loads((tmp_path / name / "manifest.json").read_text())["functions"]
        for name in ("installed", "checkout")
    )
    assert set(installed) == {"deferred", "cron", "queryiter"}
    assert installed == checkout


@pytest.mark.parametrize("name", ["shared", "local"])
def test_a_module_that_was_deleted_is_not_packed_again(
    sources: Path, tmp_path: Path, name: str
) -> None:
    package = {"shared": "adjourn", "local": "adjourn_local"}[name]
    before, after = tmp_path / "before", tmp_path / "after"
    extra = sources / name / package / "gone.py"
    extra.touch()
    known = files(sources)

    assert f"{package}/gone.py" in contents(wheel(sources / name, before))
    assert files(sources) == known
    extra.unlink()
    assert f"{package}/gone.py" not in contents(wheel(sources / name, after))


@pytest.mark.parametrize("name", ["shared", "local"])
def test_a_wheel_of_the_source_distribution_is_the_wheel_of_the_checkout(
    sources: Path, tmp_path: Path, name: str
) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", cwd=sources / name)
    (archive,) = (sources / name / "dist").iterdir()
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()

    built = contents(wheel(unpacked, tmp_path / "of_sdist"))

    assert built == contents(wheel(sources / name, tmp_path / "of_checkout"))
    package = {"shared": "adjourn", "local": "adjourn_local"}[name]
    assert {f"{package}/{file}" for file in files(sources / name / package)} <= set(built)
    assert (name == "local") == ("adjourn_local/deployed/cron/main.py" in built)


def test_a_folder_of_a_repository_is_installed(sources: Path, tmp_path: Path) -> None:
    if not shutil.which("git"):
        pytest.skip("needs git")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(sources))
    run(*git, "init", "-q")
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "All")

    built = wheel(f"git+file://{sources}#subdirectory=local", tmp_path / "out")

    assert "adjourn_local/deployed/deferred/main.py" in contents(built)


def test_the_licence_is_the_same_everywhere() -> None:
    assert (
        (ROOT / "LICENSE").read_text()
        == (ROOT / "shared" / "LICENSE").read_text()
        == (ROOT / "local" / "LICENSE").read_text()
    )


def test_the_version_is_there_without_looking_for_packages() -> None:
    code = "import sys, adjourn; print('importlib.metadata' in sys.modules, adjourn.__version__)"
    path = str(Path(adjourn.__file__).parents[1])

    said = run(sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {path!r}); {code}")

    assert said.split() == ["False", adjourn.__version__]
