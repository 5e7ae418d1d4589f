import logging

import pytest

from adjourn_local.runtime.log_display import LogDisplay
from adjourn_local.runtime.log_file import LogReader
from adjourn_local.runtime.stack_log import StackLog

FAILED = {
    "event": "attempt_failed",
    "task": "t1",
    "attempt": 1,
    "url": "http://127.0.0.1:1/shop.pay",
}


@pytest.fixture
def shown():
    return []


@pytest.fixture
def log(shown):
    log = StackLog(LogDisplay(shown.append))
    logger = logging.getLogger("tests.stack_log")
    logger.addHandler(log)
    yield log
    logger.removeHandler(log)
    log.close()


def warn(message, **extra):
    logging.getLogger("tests.stack_log").warning(message, extra=extra)


def test_lines_of_functions_and_of_the_stack_are_shown_and_kept(log, shown, tmp_path):
    log.write("cron", "early")
    log.keep_in(tmp_path)
    log.write("deferred", '{"severity": "DEBUG", "message": "done"}')
    warn("The disk is full.")

    said = [text[9:] for text in shown]
    assert said == ["[cron]      early", "[stack]     WARNING The disk is full."]
    reader = LogReader(tmp_path)
    assert [line.message for line in reader.read()] == ["done", "The disk is full."]
    reader.close()


def test_what_a_function_has_answered_it_has_said_itself(log, shown):
    log.functions = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    warn("answered 422", **FAILED, status=422)
    assert shown == []

    warn("no answer", **FAILED)
    assert shown[0].endswith("[stack]     shop.pay #1 WARNING no answer")


def test_the_answers_of_others_are_shown(log, shown):
    log.functions = ["http://127.0.0.1:11"]

    warn("answered 500", **FAILED, status=500)

    assert shown[0].endswith("[stack]     WARNING answered 500")
