from pathlib import Path

import pytest

from adjourn import __version__
from adjourn_local.errors import PackageError
from adjourn_local.packaging.requirements import Pin, merge, need_hashes, read, render

ROOT = Path(__file__).resolve().parents[4]
THEIRS = Path("shop/requirements.txt")


def pins(tmp_path: Path, text: str) -> list[Pin]:
    path = tmp_path / "requirements.txt"
    path.write_text(text, encoding="utf-8")
    return list(read(path))


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(PackageError) as refused:
        pins(tmp_path, text)
    return str(refused.value)


def test_a_lock_file_is_read_with_its_hashes_markers_and_comments(tmp_path: Path) -> None:
    found = pins(
        tmp_path,
        "\ufeff# made by a tool\r\n"
        "Flask_Login==0.6.3 ; python_version < '3.13' \\\n"
        "    --hash=sha256:aa \\\n"
        "    --hash=sha256:bb\n"
        "    # via shop\n"
        "\n"
        "google-auth[requests, PyJWT]==2.40.0  # for tokens\n",
    )

    assert found == [
        Pin(
            name="flask-login",
            version="0.6.3",
            marker="python_version < '3.13'",
            hashes=frozenset({"sha256:aa", "sha256:bb"}),
        ),
        Pin(name="google-auth", version="2.40.0", extras=frozenset({"requests", "pyjwt"})),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("flask", "'flask' is not pinned to one version with =="),
        ("flask>=3", "'flask>=3' is not pinned"),
        ("flask==3.*", "'flask==3.*' is not pinned"),
        ("flask==3.1,!=3.2", "'flask==3.1,!=3.2' is not pinned"),
        ("flask===3.1", "'flask===3.1' is not pinned"),
        ("flask @ https://example.org/flask.whl", "is not pinned"),
        ("-r other.txt", "'-r other.txt' is not of the form name==version"),
        ("-e ./shop", "'-e ./shop' is not of the form"),
        ("--index-url https://example.org", "is not of the form"),
        ("./wheels/shop.whl", "is not of the form"),
        ("adjourn==0.0.1", f"packaged is adjourn {__version__}, which runs here; remove the line"),
        ("adjourn>=0.0.1", "remove the line"),
        ("adjourn @ file:///adjourn", "remove the line"),
    ],
)
def test_anything_but_a_pin_is_refused(tmp_path: Path, line: str, said: str) -> None:
    assert said in refusal(tmp_path, line)


def test_all_wrong_lines_are_told_with_their_numbers_and_the_fix(tmp_path: Path) -> None:
    said = refusal(tmp_path, "a==1 \\\n  --hash=sha256:aa\nb\n# c\n\nd>1\n").splitlines()

    assert said[1].startswith("- line 3: 'b'")
    assert said[2].startswith("- line 6: 'd>1'")
    assert "--requirements" in said[3]


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"gone\.txt cannot be read: .*No such file"):
        read(tmp_path / "gone.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9==1\n")
    with pytest.raises(PackageError, match=r"cannot be read: .*utf-8"):
        read(tmp_path / "latin.txt")


def test_every_conflict_is_told_with_the_package_and_both_versions() -> None:
    ours = [Pin(name="flask", version="3.1.2"), Pin(name="grpcio", version="1.76.0")]
    theirs = [
        Pin(name="flask", version="2.3.3"),
        Pin(name="grpcio", version="1.76.0", marker="python_version < '3.14'"),
        Pin(name="grpcio", version="1.80.0", marker="python_version >= '3.14'"),
    ]

    with pytest.raises(PackageError) as refused:
        merge(ours, theirs, where=THEIRS)

    assert str(refused.value).splitlines()[:3] == [
        "shop/requirements.txt contradicts adjourn:",
        "- flask: adjourn has 3.1.2, the application has 2.3.3",
        "- grpcio: adjourn has 1.76.0, the application has 1.76.0 and 1.80.0",
    ]


def test_what_both_need_is_asked_for_once_wherever_one_of_them_needs_it() -> None:
    ours = [
        Pin(name="a", version="1.0", marker="os_name == 'posix'", hashes=frozenset({"sha256:1"})),
        Pin(name="b", version="2", marker="m", extras=frozenset({"x"})),
        Pin(name="c", version="3", marker="m"),
    ]
    theirs = [
        Pin(name="a", version="1", hashes=frozenset({"sha256:2"})),
        Pin(name="b", version="2", marker="n", extras=frozenset({"y"})),
        Pin(name="c", version="3", marker="m"),
        Pin(name="aa", version="4"),
    ]

    assert merge(ours, theirs, where=THEIRS) == [
        Pin(name="a", version="1.0", hashes=frozenset({"sha256:1", "sha256:2"})),
        Pin(name="aa", version="4"),
        Pin(name="b", version="2", marker="(m) or (n)", extras=frozenset({"x", "y"})),
        Pin(name="c", version="3", marker="m"),
    ]


def test_versions_for_different_pythons_stay_apart() -> None:
    forks = [
        Pin(name="numpy", version="2.2.6", marker="python_version < '3.12'"),
        Pin(name="numpy", version="2.4.0", marker="python_version >= '3.12'"),
    ]

    assert merge([], forks, where=THEIRS) == forks


def test_hashes_are_written_unless_asked_otherwise() -> None:
    hashed = Pin(name="a", version="1", hashes=frozenset({"sha256:bb", "sha256:aa"}))
    bare = Pin(name="b", version="2", extras=frozenset({"y", "x"}), marker="m")

    assert render([hashed]) == "a==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert render([hashed, bare], is_hashed=False) == "a==1\nb[x,y]==2 ; m\n"


def test_a_requirement_without_a_hash_is_refused_by_name(tmp_path: Path) -> None:
    hashed = Pin(name="a", version="1", hashes=frozenset({"sha256:aa"}))

    need_hashes([hashed], where=tmp_path)
    with pytest.raises(PackageError, match=r"no hashes for these[^-]*- b\n") as refused:
        need_hashes([hashed, Pin(name="b", version="2")], where=tmp_path)
    assert "- a" not in str(refused.value)


def test_our_own_requirements_are_the_same_after_reading_and_writing(tmp_path: Path) -> None:
    ours = read(ROOT / "requirements.txt")

    assert len(ours) > 30
    assert all(pin.hashes for pin in ours)
    assert pins(tmp_path, render(ours)) == ours
    assert merge(ours, ours, where=THEIRS) == ours
