"""What of a ViUR project behaves differently, line by line."""

import warnings

import pytest

from adjourn_local.cli import main
from adjourn_local.viur_check.project import findings, rhythms
from adjourn_local.viur_check.rules import RULES

CRON = """
cron:
- description: all
  url: /_tasks/cron
  schedule: every 4 hours  # as in the template
- url: "/_tasks/cron/nightly"
  target: default
  schedule: "every day 03:00"
- url: /other
  schedule: every 1 minutes
"""


def told(source, version=(3, 7)):
    """Return line, rule and text of what is found in a source."""
    return [(each.line, each.rule, each.text) for each in findings(source, version)]


@pytest.fixture
def write(tmp_path):
    def write(source, name="shop.py"):
        (tmp_path / name).write_text(source)
        return tmp_path

    return write


# One line for each rule that it finds, and one that it has to leave alone.
SOURCES = {
    "numeric-interval": (
        "@PeriodicTask(30)\ndef f(): ...\n@PeriodicTask(timedelta(hours=1))\ndef g(): ...\n",
        1,
    ),
    "interval-zero": (
        "@PeriodicTask()\ndef f(): ...\n@PeriodicTask(timedelta(hours=1))\ndef g(): ...\n",
        1,
    ),
    "naive-eta": (
        "f(_eta=datetime.now(timezone.utc))\nf(_eta=datetime.utcnow() + timedelta(1))\n",
        2,
    ),
    "queue-at-call": ("f(_queue=None)\nf(1, _queue='mail')\n", 2),
    "mapped-name": ("f(_name='a-b')\nf(_name='a:b')\n", 2),
    "target-version": ("f(_target_version=None)\nf(_target_version='v1')\n", 2),
    "own-steps": (
        (
            "class A:\n    def _qryStep(cls, step): ...\n"
            "class B(QueryIter): ...\nclass C(B):\n    def _qryStep(cls, step): ...\n"
        ),
        5,
    ),
    "transaction": ("db.Put(a)\ndb.RunInTransaction(f)\n", 2),
    "decorators-order": (
        "@CallDeferred\n@retry_n_times(3)\ndef f(): ...\n@noRetry\n@CallDeferred\ndef g(): ...\n",
        6,
    ),
    "own-environment": (
        "def f():\n    current.user.get()\n@CallDeferred\ndef g():\n    current.user.get()\n",
        5,
    ),
    "lazy-function": ("def f():\n    yield 1\n@CallDeferred\ndef g():\n    yield 1\n", 4),
    "arguments": ("@CallDeferred\ndef f(a): ...\nf({'a': 1})\nf({1: 2})\nother({1: 2})\n", 4),
    "private-names": (
        "from viur.core.tasks import CallDeferred\nfrom viur.core.tasks import _periodicTasks\n",
        2,
    ),
}


def test_there_is_a_source_for_each_rule():
    assert SOURCES.keys() == RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_the_line_that_it_is_about_and_no_other(write, rule):
    source, line = SOURCES[rule]

    assert [each[0] for each in told(write(source)) if each[1] == rule] == [line]


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ((3, 7), "timedelta(minutes=1440)"),
        ((3, 8), "timedelta(seconds=1440)"),
        ((4, 0), "timedelta(seconds=1440)"),
        (None, "say it by --viur"),
    ],
)
def test_a_number_is_told_in_the_unit_of_the_projects_viur(write, version, text):
    folder = write("@PeriodicTask(60 * 24, 'nightly')\ndef f(self): ...\n")

    ((_, _, found),) = told(folder, version)
    assert text in found


def test_the_rhythm_of_a_cron_name_is_that_of_the_projects_cron_yaml(write):
    folder = write("@PeriodicTask(0, 'nightly')\ndef f(): ...\n@PeriodicTask()\ndef g(): ...\n")
    assert all("every 4 hours" in text for *_, text in told(folder))
    write(CRON, "cron.yaml")

    assert rhythms(folder) == {"default": "every 4 hours", "nightly": "every day 03:00"}
    nightly, default = (text for *_, text in told(folder))
    assert 'crons = { nightly = { schedule = "every day 03:00" } }' in nightly
    assert 'crons = { default = { schedule = "every 4 hours" } }' in default


def test_transactions_of_the_oldest_viur_are_refused(write):
    folder = write("db.RunInTransaction(f)\n")

    assert "refused" in told(folder, (3, 0))[0][2]
    assert "committed" in told(folder, (3, 9))[0][2]


def test_what_is_no_python_is_told_and_the_rest_is_read(write):
    write("def (\n", "broken.py")
    folder = write("f(_queue='a')\n", "shop.py")

    assert [(rule, line) for line, rule, _ in told(folder)] == [("syntax", 1), ("queue-at-call", 1)]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("f(", "'(' was never closed"),
        ("a = '\0'", "null bytes"),
        ("-" * 20_000 + "1", "MemoryError"),
        ("+".join(["a"] * 20_000), "recursion depth exceeded"),
    ],
)
def test_why_a_file_cannot_be_read_is_told(write, source, reason):
    ((_, rule, text),) = told(write(source))

    assert rule == "syntax"
    assert text.startswith("it cannot be read: ")
    assert reason in text


def test_a_link_to_nowhere_is_told(tmp_path):
    (tmp_path / "shop.py").symlink_to(tmp_path / "gone.py")

    assert told(tmp_path) == [(1, "syntax", "it cannot be read: No such file or directory")]


def test_a_folder_is_no_source(tmp_path):
    (tmp_path / "shop.py").mkdir()

    assert told(tmp_path) == []


def test_what_is_nested_deeply_is_read(write):
    folder = write("x = " + " + ".join(["a"] * 800) + "\nf(_queue='a')\n")

    assert [(line, rule) for line, rule, _ in told(folder)] == [(2, "queue-at-call")]


def test_a_cron_yaml_in_another_encoding_is_read(write):
    folder = write("@PeriodicTask()\ndef g(): ...\n")
    (folder / "cron.yaml").write_bytes(CRON.replace("all", "für alle").encode("latin-1"))

    assert rhythms(folder)["default"] == "every 4 hours"


def test_what_python_warns_of_is_not_told(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert told(write("re.compile('\\d')\n")) == []


def test_what_is_installed_or_hidden_is_left_out(tmp_path):
    for part in ("site-packages", ".venv", "build"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.py").write_text("f(_queue='a')\n")

    assert told(tmp_path) == []


def test_the_command_fails_if_something_must_be_changed(write, capsys):
    folder = write("f(_queue='a')\n")
    assert main(["viur", "check", str(folder)]) == 0
    assert "0 to change, 1 to know" in capsys.readouterr().out

    write("f(_queue=a)\n", "other.py")
    assert main(["viur", "check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"{folder / 'other.py'}:1: change [queue-at-call]" in out
    assert "1 to change, 1 to know" in out


def test_the_command_is_told_the_version(write, capsys):
    folder = write("@PeriodicTask(3)\ndef f(): ...\n")

    assert main(["viur", "check", str(folder), "--viur", "3.7.21"]) == 1
    assert "minutes=3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["gone"], "does not exist"),
        (["."], "has no Python files"),
        ([".", "--viur", "new"], "is not a version"),
    ],
)
def test_the_command_says_how_it_is_called(words, text, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert main(["viur", "check", *words]) == 2
    assert text in capsys.readouterr().err
