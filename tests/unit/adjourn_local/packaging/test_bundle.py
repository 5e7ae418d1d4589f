import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from adjourn_local.cli import main
from adjourn_local.errors import PackageError
from adjourn_local.packaging.bundle import Application, Bundle, bundles, manifest, write

SPEC = "shop.tasks:app"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with an application, beside what never is one's own."""
    source = tmp_path / "source"
    for name in (
        "shop/__init__.py",
        "shop/tasks.py",
        "shop/data/prices.csv",
        "shop/.env",
        "shop/__pycache__/tasks.cpython-311.pyc",
        "shop/tasks.pyc",
        "shop/.git/config",
        "shop/venv/pyvenv.cfg",
        "shop/venv/lib/module.py",
        "rates.py",
        "other/main.py",
    ):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return source


def packaged(source: Path, *include: str, spec: str = SPEC) -> list[Bundle]:
    return list(bundles(Application(spec=spec, source=source, include=include)))


def users(bundle: Bundle) -> set[str]:
    own = {"main.py", "requirements.txt"}
    return {name for name in bundle.files if not name.startswith("adjourn/")} - own


def test_each_function_has_its_main_the_library_and_the_application(source: Path) -> None:
    deferred, cron, queryiter = packaged(source)

    assert [each.name for each in (deferred, cron, queryiter)] == ["deferred", "cron", "queryiter"]
    assert b"deferred = function(" in deferred.files["main.py"]
    assert b"cron = function(" in cron.files["main.py"]
    assert {"adjourn/__init__.py", "adjourn/py.typed", "adjourn/gcp/cloudtasks.py"} <= set(
        queryiter.files
    )
    assert not [name for name in deferred.files if "adjourn_local" in name or "testing" in name]
    assert users(cron) == {"shop/__init__.py", "shop/tasks.py", "shop/data/prices.csv"}


def test_a_zip_holds_the_files_sorted_with_fixed_times_and_modes(source: Path) -> None:
    (source / "shop" / "tasks.py").chmod(0o700)

    (bundle, *_) = packaged(source)

    with zipfile.ZipFile(io.BytesIO(bundle.zipped)) as archive:
        infos = archive.infolist()
        assert {info.filename: archive.read(info) for info in infos} == bundle.files
    assert [info.filename for info in infos] == sorted(bundle.files)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.external_attr >> 16 for info in infos} == {0o100644}


def test_a_name_changes_with_the_content_and_only_then(source: Path) -> None:
    before = [bundle.zip_name for bundle in packaged(source)]

    os.utime(source / "shop" / "tasks.py", (0, 0))
    assert [bundle.zip_name for bundle in packaged(source)] == before
    (source / "shop" / "tasks.py").write_text("changed")
    assert not {bundle.zip_name for bundle in packaged(source)} & set(before)


def test_chosen_folders_and_files_keep_their_places(source: Path) -> None:
    (bundle, *_) = packaged(source, "shop/tasks.py", "rates.py")

    assert users(bundle) == {"shop/tasks.py", "rates.py"}
    (alone, *_) = packaged(source, spec="rates:app")
    assert users(alone) == {"rates.py"}


@pytest.mark.parametrize(
    ("include", "spec", "said"),
    [
        ([], "shop", "'shop' must be package.module:app"),
        ([], "../shop:app", "must be package.module:app"),
        ([], "shop.gone:app", "There is no shop/gone.py in what is packaged of"),
        ([], "gone:app", "There is no gone.py in what is packaged of"),
        (["rates.py"], SPEC, "There is no shop/tasks.py in what is packaged of"),
        (["shop", "gone"], SPEC, "There is no 'gone' in"),
        (["shop", "../source"], SPEC, "main.py"),
        (["shop", ".."], SPEC, "There is no '..' in"),
        (["shop", "/etc"], SPEC, "There is no '/etc' in"),
    ],
)
def test_what_is_not_there_is_said(source: Path, include: list[str], spec: str, said: str) -> None:
    (source / "main.py").touch()

    with pytest.raises(PackageError) as refused:
        packaged(source, *include, spec=spec)

    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["main.py", "adjourn/own.py", "requirements.txt"])
def test_nothing_of_adjourn_is_replaced(source: Path, name: str) -> None:
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).touch()

    with pytest.raises(PackageError, match=f"{name.partition('/')[0]} would replace adjourn's"):
        packaged(source, "shop", name)


def test_a_link_is_refused_and_never_followed(source: Path) -> None:
    (source / "shop" / "secrets").symlink_to("/etc")

    with pytest.raises(PackageError, match="shop/secrets is a link or not a regular file"):
        packaged(source)


def test_a_name_that_is_not_utf_8_is_refused(source: Path) -> None:
    try:
        (source / "shop" / os.fsdecode(b"caf\xe9.py")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")

    with pytest.raises(PackageError, match="is not UTF-8; rename it"):
        packaged(source)


def test_what_is_written_is_what_the_manifest_says(source: Path, tmp_path: Path) -> None:
    found = packaged(source)
    output = tmp_path / "build"
    write(output, SPEC, packaged(source, "shop", "rates.py"))

    write(output, SPEC, found)

    told = json.loads((output / "manifest.json").read_text())
    assert (told["version"], told["app"]) == (1, SPEC)
    for bundle in found:
        function = told["functions"][bundle.name]
        assert function["entry_point"] == bundle.name
        assert (output / function["zip"]).read_bytes() == bundle.zipped
        assert function["sha256"] == bundle.sha256
        staged = output / bundle.name
        files = {p.relative_to(staged).as_posix() for p in staged.rglob("*") if p.is_file()}
        assert files == set(bundle.files)
    assert len(list(output.glob("*.zip"))) == 3
    assert manifest(SPEC, found) == (output / "manifest.json").read_text()


def test_a_folder_that_is_no_package_is_left_alone(source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "functions" / "cron" / "main.py"
    mine.parent.mkdir(parents=True)
    mine.touch()

    with pytest.raises(PackageError, match="cron exists and is not a package"):
        write(tmp_path / "functions", SPEC, packaged(source))

    assert [path.name for path in (tmp_path / "functions").rglob("*")] == ["cron", "main.py"]


def package(source: Path, output: Path, *options: str) -> int:
    return main(["package", SPEC, "--source", str(source), "--output", str(output), *options])


def test_the_command_finds_the_applications_requirements(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "requirements.txt").write_text("six==1.17.0\n")

    assert package(source, tmp_path / "build") == 2
    assert "- six\nuv pip compile --generate-hashes" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()

    assert package(source, tmp_path / "build", "--without-hashes") == 0
    assert "deferred-" in capsys.readouterr().out
    text = (tmp_path / "build" / "cron" / "requirements.txt").read_text()
    assert "six==1.17.0\n" in text
    assert "flask==" in text
    assert "--hash" not in text


def test_a_conflict_is_said_and_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "pins.txt").write_text("flask==0.1\n")

    status = package(source, tmp_path / "build", "--requirements", str(source / "pins.txt"))

    assert status == 2
    assert "- flask: adjourn has " in (said := capsys.readouterr().err)
    assert ", the application has 0.1\n" in said
    assert not (tmp_path / "build").exists()


def test_a_dry_run_writes_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert package(source, tmp_path / "build", "--dry-run") == 0

    (bundle, *_) = packaged(source)
    assert bundle.zip_name in capsys.readouterr().out
    assert not (tmp_path / "build").exists()


def test_a_folder_that_cannot_be_written_is_said(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert package(source, tmp_path / "file") == 2
    assert capsys.readouterr().err == f"adjourn: {tmp_path / 'file'}: File exists.\n"
