"""The tasks of the chaos tests of batches, which tell when they run."""

from typing import Any, NamedTuple

import adjourn

GROWING = 50  # of so many children, one adds another one


class BatchTasks(NamedTuple):
    """What is called: the children, and the end."""

    child: adjourn.Task[[str, int], None]
    ended: adjourn.Task[[adjourn.BatchSummary], None]


def declare(app: adjourn.App, tell: Any) -> BatchTasks:
    """Declare the tasks on an application whose calls tell what they do."""

    @app.deferred(name="batch_child", max_backoff=2)
    def child(batch: str, number: int) -> None:
        """Tell that a child has run; some fail at first, some add another child."""
        if number % 20 == 7 and adjourn.current_task().attempt == 1:
            raise RuntimeError("not yet")
        if number % GROWING == 0:
            adjourn.current_batch().add(child, batch, -number - 1)
        tell(f"batch child {batch} {number}")

    @app.deferred(name="batch_ended", max_backoff=2, timeout=15)
    def ended(summary: adjourn.BatchSummary) -> None:
        tell(f"batch end {summary['name']} {summary['total']} {summary['done']}")

    return BatchTasks(child, ended)
