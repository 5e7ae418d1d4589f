import datetime as dt
import json
import logging
import sys

import pytest

from adjourn_local.runtime.log_lines import LogLine, cut

AT = dt.datetime(2026, 11, 29, 14, 3, 27, 123_000, tzinfo=dt.UTC)
TRACE = """Traceback (most recent call last):
  File "/shop/tasks.py", line 20, in pay
    bank.charge(order)
  File "/venv/lib/python3.12/site-packages/bank/__init__.py", line 3, in charge
    raise DeclinedError(
    ...<2 lines>...
    )
bank.DeclinedError: no money
and more about it
"""


def parse(text):
    return LogLine.parse("deferred", text, AT)


def test_a_structured_line_has_its_fields():
    fields = {"event": "task.failed", "task": "shop.pay", "task_id": "3f9a2c1b-77", "attempt": 2}
    line = parse(
        json.dumps({"severity": "WARNING", "message": "shop.pay failed", "queue": "mail", **fields})
    )

    assert (line.severity, line.message) == ("WARNING", "shop.pay failed")
    assert (line.task, line.short_id, line.attempt) == ("shop.pay", "3f9a2c1b", 2)
    assert (line.event, line.queue) == ("task.failed", "mail")


def test_a_line_of_an_iteration_is_of_its_class_and_its_run():
    line = parse('{"message": "m", "iteration": "shop.Reprice", "run": "abcdefghij", "shard": 3}')

    assert (line.task, line.short_id) == ("shop.Reprice", "abcdefgh")


@pytest.mark.parametrize(
    "text",
    [
        "printed",
        "",
        "{",
        "[1]",
        "{}",
        '{"message": 1}',
        '{"severity": "INFO"}',
        '{"message": ' + "[" * 100_000,
        "{" + '"a": {' * 100_000,
    ],
)
def test_any_other_line_is_its_own_message(text):
    line = parse(text)

    assert line.message == cut(text, 20_000)
    assert (line.severity, line.task, line.short_id, line.attempt) == ("", "", "", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"attempt": "2", "task": 5, "queue": None, "stack_trace": 7, "event": []},
        {"attempt": None, "task": None, "task_id": {}, "run": 1.5},
    ],
)
def test_fields_of_other_types_do_no_harm(fields):
    line = parse(json.dumps({"message": "m", **fields}))

    assert line.attempt is None
    assert all(isinstance(each, str) for each in (line.task, line.queue, line.trace, line.event))
    assert LogLine.from_json(line.to_json()) == line


def test_a_line_survives_the_file():
    line = parse(json.dumps({"severity": "ERROR", "message": "a\nb\x1b", "task": "t", "x": [1]}))

    assert "\n" not in line.to_json()
    assert LogLine.from_json(line.to_json()) == line


@pytest.mark.parametrize(
    "text", ["", "{", "half", '{"message": "m"}', '{"message": "m", "time": 5, "source": "x"}']
)
def test_a_damaged_line_of_the_file_is_left_out(text):
    assert LogLine.from_json(text) is None


def test_the_error_is_said_with_the_line_of_the_application():
    line = parse(json.dumps({"message": "m", "stack_trace": TRACE}))

    assert line.error() == "bank.DeclinedError: no money (tasks.py:20)"


@pytest.mark.parametrize(
    ("trace", "error"), [("", ""), ("ValueError: x", "ValueError: x"), ("\n\n", "")]
)
def test_an_error_without_frames_is_said_too(trace, error):
    assert parse(json.dumps({"message": "m", "stack_trace": trace})).error() == error


def test_a_record_of_this_process_becomes_a_line():
    try:
        int("inside")
    except ValueError:
        record = logging.makeLogRecord(
            {
                "msg": "Task %s: answered %d",
                "args": ("t1", 500),
                "levelname": "WARNING",
                "levelno": logging.WARNING,
                "exc_info": sys.exc_info(),
                "event": "attempt_failed",
                "task": "t1",
                "queue": "projects/p/locations/l/queues/mail",
                "attempt": 3,
            }
        )
    line = LogLine.of_record(record)

    assert (line.source, line.severity, line.message) == (
        "stack",
        "WARNING",
        "Task t1: answered 500",
    )
    assert (line.queue, line.attempt, line.event) == ("mail", 3, "attempt_failed")
    assert (line.task, line.fields["delivery"]) == ("", "t1")
    assert line.error().startswith("ValueError: invalid literal for int()")


def test_of_a_long_text_both_ends_stay():
    text = cut(f"begin{'x' * (4 << 20)}end", 1000)

    assert text.startswith("beginx")
    assert text.endswith("xend")
    assert "(4,193,312 characters are left out)" in text
    assert len(text) < 1100
