import datetime as dt
import io
import json

import pytest

from adjourn_local.runtime.log_display import LogDisplay, has_colours
from adjourn_local.runtime.log_lines import LogLine

AT = dt.datetime(2026, 11, 29, 14, 3, 27).astimezone()
FIELDS = {"task": "shop.pay", "task_id": "3f9a2c1b-77", "attempt": 1, "queue": "mail"}
TRACE = 'Traceback (most recent call last):\n  File "/shop/tasks.py", line 20, in pay\nE: no money'


def line(message="", severity="", source="deferred", at=AT, **fields):
    return LogLine(at=at, source=source, message=message, severity=severity, fields=fields)


def failed(attempt=1, trace=TRACE):
    fields = {**FIELDS, "attempt": attempt, "event": "task.failed", "stack_trace": trace}
    return line("shop.pay failed", "WARNING", **fields)


def shown(*lines, **options):
    texts = []
    display = LogDisplay(texts.append, **options)
    for each in lines:
        display.show(each)
    return texts


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (line("hello"), "14:03:27 [deferred]  hello"),
        (line("hello", source="queryiter"), "14:03:27 [queryiter] hello"),
        (line("hello", **FIELDS), "14:03:27 [deferred]  shop.pay 3f9a2c1b #1 hello"),
        (line("rare: 1 of 1 due", attempt=1), "14:03:27 [deferred]  rare: 1 of 1 due"),
        (line("Started", "INFO", source="stack"), "14:03:27 [stack]     Started"),
        (line("Oh", "WARNING", source="stack"), "14:03:27 [stack]     WARNING Oh"),
        (
            line(
                "failed",
                "WARNING",
                source="queryiter",
                iteration="shop.Reprice",
                run="0123456789",
                attempt=4,
                entity="Order/17",
                stack_trace="E",
            ),
            "14:03:27 [queryiter] shop.Reprice 01234567 #4 WARNING Order/17: failed: E\n    E",
        ),
    ],
)
def test_a_line_says_when_of_which_task_and_in_which_attempt(given, text):
    assert shown(given) == [text]


def test_one_failure_is_one_entry_and_its_traceback_is_shown_once():
    first, second, other = shown(failed(), failed(attempt=2), failed(trace=f"{TRACE}!"))

    head = "14:03:27 [deferred]  shop.pay 3f9a2c1b #{} WARNING failed: E: no money{} (tasks.py:20)"
    assert first == "\n    ".join([head.format(1, ""), *TRACE.splitlines()])
    assert second == head.format(2, "")
    assert other.startswith(head.format(1, "!") + "\n")
    assert "\n" in shown(failed(), failed(attempt=2), verbose=True)[1]


def test_an_error_that_the_message_says_already_is_said_once():
    message = "E: no money"
    (text,) = shown(line(message, "ERROR", entity="Order/17", stack_trace=TRACE))

    assert text.splitlines()[0].endswith("ERROR Order/17: E: no money (tasks.py:20)")


@pytest.mark.parametrize(
    "routine",
    [
        line("shop.pay done", "DEBUG", event="task.done", **FIELDS),
        line("bell: 0 of 2 due, 0 not enqueued", "INFO", event="cron.tick", due=0),
        line("answered 422", "WARNING", event="attempt_failed", function_answered=True),
    ],
)
def test_what_is_routine_is_shown_if_it_is_asked_for(routine):
    assert shown(routine) == []
    assert len(shown(routine, verbose=True)) == 1


@pytest.mark.parametrize(
    "news",
    [
        line("bell: 1 of 2 due, 0 not enqueued", "INFO", event="cron.tick", due=1),
        line("bell: 0 of 2 due, 1 not enqueued", "ERROR", event="cron.tick", due=0),
        line("no answer", "WARNING", event="attempt_failed", function_answered=False),
        line("answered 500", "WARNING", event="attempt_failed"),
        line("given up", "ERROR", event="task_exhausted", function_answered=True),
    ],
)
def test_what_is_not_is_shown(news):
    assert len(shown(news)) == 1


def test_the_same_trouble_with_the_state_is_said_every_half_minute():
    def trouble(seconds, what="The disk is full."):
        at = AT + dt.timedelta(seconds=seconds)
        return line(what, "ERROR", source="stack", at=at, event="state_unavailable")

    seen = shown(*map(trouble, range(0, 70, 5)), trouble(66, "Another."))

    assert [text[:8] for text in seen] == ["14:03:27", "14:03:57", "14:04:27", "14:04:33"]


def test_nothing_that_a_task_writes_steers_the_terminal_or_looks_like_another_line():
    hostile = "a\x1b[2J\rb\n14:03:27 [stack] forged\n\x9b"
    seen = [
        *shown(line(hostile, **{**FIELDS, "task": hostile, "task_id": hostile})),
        *shown(line(hostile, "ERROR", entity=hostile, stack_trace=hostile), source_of(hostile)),
    ]

    for text in seen:
        assert text.isprintable() or "\n" in text
        assert not set("\x1b\r\x9b") & set(text)
        assert all(rest.startswith("    ") for rest in text.splitlines()[1:])


def source_of(text):
    return line("m", source=text)


def test_colours_are_for_those_who_want_them(monkeypatch):
    plain, coloured = shown(failed())[0], shown(failed(), colours=True)[0]
    assert "\x1b" not in plain
    assert "\x1b[33mWARNING\x1b[0m" in coloured

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert has_colours(Terminal())
    assert not has_colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not has_colours(Terminal())


def test_a_thousand_different_errors_are_not_all_remembered():
    display = LogDisplay(lambda _: None)
    for number in range(1000):
        display.show(failed(trace=f"E: {number}"))

    assert len(display._errors) == 200


def test_a_line_of_four_megabytes_is_cut():
    text = json.dumps({"message": "x" * (4 << 20), **FIELDS})

    (seen,) = shown(LogLine.parse("deferred", text, AT))

    assert len(seen) < 25_000
