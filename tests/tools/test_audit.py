"""An audit tells what is vulnerable, what is not, and what it could not find out."""

import json
import sys

import pytest

from tools import audit
from tools.audit import NOT_ASKED, VULNERABLE, main, verdict

CLEAN = {"name": "flask", "version": "3.1.3", "vulns": []}
BAD = {
    "name": "werkzeug",
    "version": "2.0.0",
    "vulns": [
        {"id": "PYSEC-2023-58", "fix_versions": ["2.2.3"], "aliases": [], "description": "..."},
        {"id": "PYSEC-2024-1", "fix_versions": [], "aliases": [], "description": "..."},
    ],
}
UNKNOWN = {
    "name": "anyio",
    "skip_reason": "Dependency not found on PyPI and could not be audited: anyio (4.16.0)",
}


def report(*pins):
    return json.dumps({"dependencies": pins, "fixes": []})


@pytest.mark.parametrize(
    ("pins", "status"),
    [
        ([CLEAN], 0),
        ([CLEAN, BAD], VULNERABLE),
        ([CLEAN, UNKNOWN], NOT_ASKED),
        ([BAD, UNKNOWN], VULNERABLE),
        ([UNKNOWN], NOT_ASKED),
        ([], NOT_ASKED),
    ],
)
def test_the_status_tells_vulnerable_from_not_asked(pins, status):
    assert verdict(report(*pins), "No known vulnerabilities found").status == status


@pytest.mark.parametrize(
    ("output", "errors", "said"),
    [
        ("", "Trying ...\nerror: Failed to fetch: `https://pypi.org/`", "error: Failed to fetch"),
        ("", "", "nothing was said"),
        ("[]", "", "[]"),
        ("usage: pip-audit", "", "usage: pip-audit"),
    ],
)
def test_whatever_it_says_instead_of_a_report_it_could_not_ask(output, errors, said):
    found = verdict(output, errors)

    assert found.status == NOT_ASKED
    assert found.not_asked[0].startswith(said)


@pytest.fixture
def told(monkeypatch):
    """Say what pip-audit prints for each file, in turn."""
    reports = []
    monkeypatch.setattr(audit, "_audited", lambda _: (reports.pop(0), ""))
    return reports


def test_each_vulnerability_is_named_with_what_mends_it(told, capsys):
    told += [report(CLEAN, BAD), report(CLEAN)]

    assert main([]) == VULNERABLE
    assert capsys.readouterr().out.splitlines() == [
        "requirements.txt: werkzeug 2.0.0 has PYSEC-2023-58, which 2.2.3 mends",
        "requirements.txt: werkzeug 2.0.0 has PYSEC-2024-1, which no version mends",
        "requirements-dev.txt: none of 1 pins has a known vulnerability.",
    ]


def test_what_could_not_be_asked_is_never_called_safe(told, capsys):
    told += [report(*[UNKNOWN] * 7, CLEAN), report(CLEAN)]

    assert main([]) == NOT_ASKED
    out = capsys.readouterr().out
    assert "requirements.txt: COULD NOT ASK about 7 of 8 pins:" in out
    assert "and 2 more" in out
    assert "requirements.txt: none" not in out


def test_without_the_program_it_could_not_ask(monkeypatch, tmp_path, capsys):
    """The real way, with a program in uv's place that cannot reach anything."""
    uv = tmp_path / "uv"
    uv.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('error: no route to the index')\n")
    uv.chmod(0o700)
    monkeypatch.setattr(audit, "beside", lambda name: tmp_path / name)

    assert main(["requirements.txt"]) == NOT_ASKED
    assert "error: no route to the index" in capsys.readouterr().out
