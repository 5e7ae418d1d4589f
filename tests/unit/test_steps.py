"""What becomes of steps that no run can take."""

import pytest

from adjourn.deadletters import KIND
from adjourn.delivery import Outcome
from adjourn.testing import SETTINGS


@pytest.mark.parametrize("body", [b'{"v": 1, "run": "gone", "step": 3}', b"no step"])
def test_the_application_is_told_of_a_step_that_was_given_up(app, box, ran, body):
    app.on_dead(ran.append)

    outcome = box.app.wiring().receive_step(box.delivery(SETTINGS.queryiter_url, body))

    assert outcome is Outcome.DEAD
    assert [letter.task_id for letter in ran] == [
        key.name for key in box.store.records if key.kind == KIND
    ]
