"""Log lines are JSON events in the structure that Cloud Logging lifts."""

import json
import logging
import threading
from contextlib import contextmanager

import pytest

from adjourn.log import JsonFormatter, bound, configure, event, keep, trace_fields

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@contextmanager
def bare_root():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_an_event_is_one_flat_object(lines):
    event("task.done", logging.INFO, "100 % done", task="shop.send")

    assert lines() == [
        {
            "severity": "INFO",
            "message": "100 % done",
            "logger": "adjourn",
            "event": "task.done",
            "task": "shop.send",
        }
    ]


def test_an_error_carries_its_traceback_where_error_reporting_looks(lines):
    try:
        raise ValueError("broken")  # noqa: TRY301
    except ValueError as error:
        event("task.failed", logging.ERROR, "failed", error=error)

    (line,) = lines()
    assert line["severity"] == "ERROR"
    assert line["stack_trace"].startswith("Traceback (most recent call last):")
    assert line["stack_trace"].endswith("ValueError: broken\n")


def test_an_event_without_an_error_has_no_traceback(lines):
    event("task.done", logging.INFO, "done", error=None)

    assert "stack_trace" not in lines()[0]


def test_the_users_own_lines_carry_the_bound_fields(lines):
    with bound(task="a", attempt=1), bound(attempt=2):
        logging.getLogger("shop").warning("low on %s", "stock")
    logging.getLogger("shop").warning("outside")

    inside, outside = lines()
    assert (inside["message"], inside["logger"]) == ("low on stock", "shop")
    assert (inside["task"], inside["attempt"]) == ("a", 2)
    assert "task" not in outside


def test_fields_are_bound_for_one_thread_of_control(lines):
    with bound(task="a"):
        other = threading.Thread(target=logging.getLogger("shop").warning, args=("x",))
        other.start()
        other.join()

    assert "task" not in lines()[0]


def test_values_that_json_does_not_know_are_told_as_text():
    record = logging.makeLogRecord({"msg": "x", "adjourn": {"error": ValueError("v")}})

    assert json.loads(JsonFormatter().format(record))["error"] == "v"


def test_lines_go_to_stdout_as_json(capsys):
    with bare_root():
        configure(logging.INFO)

        event("task.done", logging.DEBUG, "too quiet")
        event("task.done", logging.INFO, "done")

    assert [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()] == [
        "done"
    ]


def test_handlers_that_are_set_already_are_left_alone():
    mine = logging.NullHandler()

    with bare_root() as root:
        root.addHandler(mine)
        configure()

        assert root.handlers == [mine]


def test_our_own_lines_keep_their_handler_when_the_application_replaces_it(capsys):
    own = logging.getLogger("adjourn")
    with bare_root() as root:
        handler = configure()
        keep(handler)
        assert own.handlers == []
        root.handlers[:] = [logging.NullHandler()]
        keep(handler)
        try:
            event("task.failed", logging.WARNING, "still here")
            event("task.done", logging.DEBUG, "too quiet")
        finally:
            own.handlers.clear()
            own.propagate = True
            own.setLevel(logging.NOTSET)

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "task.failed"


def test_a_line_is_tied_to_the_trace_of_its_request():
    assert trace_fields("shop", f"00-{TRACE}-{SPAN}-01") == {
        "logging.googleapis.com/trace": f"projects/shop/traces/{TRACE}",
        "logging.googleapis.com/spanId": SPAN,
    }


@pytest.mark.parametrize(
    "header", [None, "", "x", f"00-{TRACE}-01", f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-b-01"]
)
def test_a_broken_trace_header_is_ignored(header):
    assert trace_fields("shop", header) == {}
