"""How a function's process takes over its socket and begins to serve."""

import gunicorn.config
import pytest

from adjourn_local.runtime.activation import Pauses, finish_requests


class Clock:
    now = 5.0

    def __call__(self):
        return self.now


def test_workers_that_keep_ending_soon_begin_after_growing_pauses():
    clock = Clock()
    pauses = Pauses(clock)
    seen = []
    for _ in range(12):
        pauses.note()
        seen.append(pauses.next)
        clock.now += pauses.next + 0.2

    assert seen[:4] == [0.0, 0.25, 0.75, 1.75]
    assert seen[-1] == 30.0
    assert seen == sorted(seen)


def test_a_worker_that_has_run_for_a_while_is_replaced_at_once():
    clock = Clock()
    pauses = Pauses(clock)
    pauses.note()
    clock.now += 0.1
    pauses.note()
    assert pauses.next
    clock.now += pauses.next + 1.1

    pauses.note()

    assert pauses.next == 0.0


def test_what_a_replaced_worker_runs_may_take_a_day(monkeypatch: pytest.MonkeyPatch):
    setting = gunicorn.config.GracefulTimeout
    monkeypatch.setattr(setting, "default", setting.default)

    finish_requests()

    assert gunicorn.config.Config().graceful_timeout == 24 * 3600
