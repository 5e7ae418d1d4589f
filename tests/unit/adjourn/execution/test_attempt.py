"""Which attempt it is, and whether it is the last."""

import pytest

from adjourn.execution.attempt import Attempt


def test_attempts_count_from_one():
    assert Attempt().number == 1
    assert Attempt(retry_count=4).number == 5


@pytest.mark.parametrize(
    ("executions", "max_retries", "is_last"),
    [
        (0, None, False),
        (99, None, False),
        (0, 0, True),
        (0, 1, False),
        (1, 1, True),
        (2, 1, True),
    ],
)
def test_the_last_attempt_is_the_one_whose_failure_spends_the_budget(
    executions, max_retries, is_last
):
    attempt = Attempt(retry_count=50, execution_count=executions)

    assert attempt.is_last(max_retries) is is_last
