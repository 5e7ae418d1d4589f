"""Log lines are JSON events in the structure that Cloud Logging lifts."""

import json
import logging
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import functions_framework
import pytest

from adjourn.log import (
    LABELS,
    JsonFormatter,
    bound,
    configure,
    event,
    execution_fields,
    keep,
    noting_errors,
    trace_fields,
)

ROOT = Path(__file__).parents[3]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@contextmanager
def bare_root():
    root = logging.getLogger()
    handlers, level, stdout, stderr = root.handlers[:], root.level, sys.stdout, sys.stderr
    loggers = [
        each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)
    ]
    enabled = [each for each in loggers if not each.disabled]
    root.handlers.clear()
    try:
        yield root
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        for logger in enabled:
            logger.disabled = False
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


def test_what_the_application_gives_as_extra_is_kept(lines):
    with bound(task="a", attempt=1):
        logging.getLogger("shop").warning("low", extra={"order": "A-1", "stock": {"b": 2}})

    (line,) = lines()
    assert (line["order"], line["stock"], line["task"]) == ("A-1", {"b": 2}, "a")
    assert set(line) == {"severity", "message", "logger", "order", "stock", "task", "attempt"}


def test_labels_of_the_application_stand_beside_those_of_the_request(lines):
    with bound(**execution_fields("abc")):
        logging.getLogger("shop").warning("low", extra={LABELS: {"team": "b"}})

    assert lines()[0][LABELS] == {"execution_id": "abc", "team": "b"}


class Mute:
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


def test_what_json_cannot_say_takes_nothing_else_with_it(lines):
    endless: list[object] = []
    endless.append(endless)
    extra = {"key": {(1, 2): 3}, "number": float("nan"), "endless": endless, "mute": Mute()}

    logging.getLogger("shop").warning("low", extra={"order": "A-1", **extra})

    (line,) = lines()
    assert (line["message"], line["order"]) == ("low", "A-1")
    assert (line["key"], line["number"], line["endless"]) == ("{(1, 2): 3}", "nan", "[[...]]")
    assert "RuntimeError" in line["mute"]


def failing(text):
    try:
        raise ValueError(text)  # noqa: TRY301
    except ValueError as error:
        return error


LONG = "ä\u2028\U0001f600" * 30_000


@pytest.mark.parametrize(
    "fields",
    [
        {"msg": LONG},
        {"msg": "x", "exc_info": (ValueError, failing(LONG), None)},
        {"msg": LONG, "exc_info": (ValueError, failing(LONG), None), "order": LONG},
        {"msg": "x", "order": {"items": [LONG] * 3}},
        {"msg": "x", **{f"field_{number}": LONG for number in range(20)}},
        {"msg": "x", **{f"field_{number}": "y" for number in range(50_000)}},
        {"msg": "x", "y" * 300_000: 1},
    ],
)
def test_a_line_is_shorter_than_what_cloud_logging_cuts(fields):
    record = logging.makeLogRecord(
        {"levelname": "ERROR", "adjourn": {"event": "task.failed", "task": "a"}, **fields}
    )

    text = JsonFormatter().format(record)

    assert len(text.encode()) < 240_000
    line = json.loads(text)
    assert (line["severity"], line["event"], line["task"]) == ("ERROR", "task.failed", "a")
    assert line["message"][:1] == fields["msg"][:1]


def test_of_a_long_traceback_both_ends_are_kept(lines):
    event("task.failed", logging.ERROR, "failed", error=failing("a" * 300_000 + "the end"))

    (line,) = lines()
    assert line["stack_trace"].startswith("Traceback (most recent call last):")
    assert line["stack_trace"].endswith("the end\n")
    assert re.search(r"\.\.\. \(\d+ characters are left out\) \.\.\.", line["stack_trace"])


def test_the_text_of_an_event_is_short_for_every_handler(caplog):
    event("task.failed", logging.ERROR, "a" * 300_000)

    assert len(caplog.records[0].getMessage()) < 20_000


def test_lines_go_to_stdout_as_json(capsys):
    with bare_root():
        configure(logging.INFO)

        event("task.done", logging.DEBUG, "too quiet")
        event("task.done", logging.INFO, "done")

    assert [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()] == [
        "done"
    ]


def test_the_handler_of_functions_framework_gives_way(capsys, monkeypatch):
    monkeypatch.setenv("LOG_EXECUTION_ID", "true")  # as Cloud Run has it
    with bare_root() as root:
        functions_framework._configure_app_execution_id_logging()
        assert root.handlers, "it installs none any more"
        logging.getLogger("adjourn").disabled = False  # a function imports it later
        configure()

        event("task.done", logging.INFO, "done", task="shop.send")

    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["event"], line["severity"], line["task"]) == ("task.done", "INFO", "shop.send")


def test_handlers_of_others_are_kept():
    mine = logging.NullHandler()

    with bare_root() as root:
        root.addHandler(mine)
        configure()

        assert root.handlers[0] is mine
        assert isinstance(root.handlers[1].formatter, JsonFormatter)


def test_what_others_print_never_breaks_a_line_of_the_log(capsys):
    printed, logged = threading.Event(), threading.Event()

    def write_in_two_parts():
        sys.stdout.write("half a ")
        printed.set()
        logged.wait(10)
        sys.stdout.write("line\n")

    with bare_root():
        configure()
        other = threading.Thread(target=write_in_two_parts)
        other.start()
        printed.wait(10)
        event("task.done", logging.INFO, "done")
        logged.set()
        other.join()

    line, text = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "task.done"
    assert text == "half a line"


def printed(capsys, text, **links):
    """Return what comes out where a text is printed within a request."""
    with bare_root():
        configure(links=True)
        with bound(**links):
            print(text)  # noqa: T201
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("plain", {"message": "plain"}),
        ("5", {"message": "5"}),
        ("[" * 10_000, {"message": "[" * 10_000}),
        ('{"message": "own", "severity": "ERROR"}', {"message": "own", "severity": "ERROR"}),
    ],
)
def test_what_is_printed_within_a_request_is_linked_to_it(capsys, text, entry):
    line = printed(capsys, text, **trace_fields("p", TRACEPARENT), **execution_fields("e1"))

    assert json.loads(line) == {
        **entry,
        **trace_fields("p", TRACEPARENT),
        LABELS: {"execution_id": "e1"},
    }


def test_labels_of_what_is_printed_are_kept(capsys):
    text = json.dumps({"message": "x", LABELS: {"team": "b"}})

    line = printed(capsys, text, **execution_fields("e1"))

    assert json.loads(line)[LABELS] == {"execution_id": "e1", "team": "b"}


@pytest.mark.parametrize(("text", "links"), [("plain", {}), (" ", execution_fields("e1"))])
def test_what_has_no_request_or_no_text_is_printed_as_it_is(capsys, text, links):
    assert printed(capsys, text, **links) == f"{text}\n"


def test_what_is_printed_without_an_end_comes_out_when_it_is_flushed(capsys):
    with bare_root():
        configure()

        print("50 %", end="", flush=True)  # noqa: T201
        print(" and the rest")  # noqa: T201

    assert capsys.readouterr().out == "50 % and the rest\n"


def test_a_line_carries_the_id_of_its_request():
    assert execution_fields("abc123") == {
        "logging.googleapis.com/labels": {"execution_id": "abc123"}
    }
    assert execution_fields(None) == {}


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


OFF = """
import sys
from bench import journeys
from adjourn.log import is_observed

journeys.call()
journeys.step()
assert not is_observed()
print([name for name in sys.modules if name.startswith(("opentelemetry", "adjourn.telemetry"))])
"""


def test_a_process_without_an_sdk_imports_nothing_of_opentelemetry():
    done = subprocess.run(
        [sys.executable, "-c", OFF], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


SET_UP = """
from adjourn.log import is_observed
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

before = is_observed()
{}
print(before, is_observed())
"""


@pytest.mark.parametrize(
    ("line", "is_observed_then"),
    [
        ("", False),
        ("trace.get_tracer('shop'); metrics.get_meter('shop')", False),
        ("trace.set_tracer_provider(trace.NoOpTracerProvider())", False),
        ("trace.set_tracer_provider(TracerProvider())", True),
        ("metrics.set_meter_provider(MeterProvider())", True),
    ],
)
def test_a_process_is_observed_once_an_sdk_is_set_up(line, is_observed_then):
    said = subprocess.check_output([sys.executable, "-c", SET_UP.format(line)], text=True)

    assert said.split() == ["False", str(is_observed_then)]


def test_errors_that_are_logged_are_noted_even_if_their_level_is_not_logged(lines):
    noted = []
    failure = RuntimeError("no money")
    logging.getLogger("adjourn").setLevel(logging.CRITICAL)
    try:
        with noting_errors(noted.append):
            event("task.failed", logging.WARNING, "failed", error=failure)
            event("task.done", logging.WARNING, "done")
        event("task.failed", logging.WARNING, "failed", error=failure)
    finally:
        logging.getLogger("adjourn").setLevel(logging.NOTSET)

    assert noted == [failure]
    assert lines() == []
