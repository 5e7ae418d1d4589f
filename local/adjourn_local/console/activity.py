"""What a laptop stack has seen of late: attempts at tasks, and what functions logged in them."""

import itertools
import json
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adjourn_local.tasks.attempts import EndedAttempt

_MOST_ATTEMPTS = 5_000
_MOST_LINES = 5_000
_LONGEST_LINE = 50_000


@dataclass(frozen=True, slots=True)
class SeenAttempt:
    """An attempt, in the order in which attempts have ended.

    Attributes:
        number: Its place in that order, from 1.
        attempt: The attempt.
    """

    number: int
    attempt: EndedAttempt

    @property
    def queue(self) -> str:
        """Short name of the queue."""
        return self.attempt.queue.rpartition("/")[2]

    @property
    def task(self) -> str:
        """Registered name of the task, which ends the URL."""
        return self.attempt.url.rpartition("/")[2]

    @property
    def has_succeeded(self) -> bool:
        """Whether the answer was 2xx."""
        status = self.attempt.response.status
        return status is not None and 200 <= status < 300  # noqa: PLR2004

    @property
    def outcome(self) -> str:
        """The status that was answered, or why there is none."""
        return f"{self.attempt.response.status or self.attempt.response.error}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a function logged while it carried out an attempt.

    Attributes:
        severity: As in Cloud Logging, such as "WARNING".
        message: The text.
        trace: The traceback of its error; "" for none.
    """

    severity: str
    message: str
    trace: str


class Activity:
    """The latest attempts and log lines. It is told of them on one thread, and asked on others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._attempts: deque[SeenAttempt] = deque(maxlen=_MOST_ATTEMPTS)
        self._lines: deque[tuple[tuple[str, str, int], Line]] = deque(maxlen=_MOST_LINES)

    def note(self, attempt: EndedAttempt) -> None:
        """Note an attempt that has ended."""
        with self._lock:
            self._attempts.append(SeenAttempt(next(self._numbers), attempt))

    def note_line(self, text: str) -> None:
        """Note a line that a function printed, if it tells to which attempt it belongs."""
        if not text.startswith("{") or len(text) > _LONGEST_LINE:
            return
        try:
            fields = json.loads(text)
            place = (str(fields["queue"]), str(fields["delivery"]), int(fields["attempt"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            return
        with self._lock:
            self._lines.append((place, _line(fields)))

    def latest(
        self, count: int, *, after: int = 0, queue: str = "", task: str = "", failed: bool = False
    ) -> Sequence[SeenAttempt]:
        """Return the latest attempts, the latest first.

        Args:
            count: How many at most.
            after: Only those that ended after the one of this number.
            queue: Only those at tasks of this queue, by its short name.
            task: Only those at calls of this task, by its registered name.
            failed: Only those that did not succeed.
        """
        with self._lock:
            seen = list(self._attempts)
        wanted = (
            each
            for each in reversed(seen)
            if each.number > after
            and queue in {"", each.queue}
            and task in {"", each.task}
            and not (failed and each.has_succeeded)
        )
        return list(itertools.islice(wanted, count))

    def of_task(self, queue: str, task_id: str) -> Sequence[SeenAttempt]:
        """Return the attempts at one task, the first one first."""
        with self._lock:
            seen = list(self._attempts)
        return [each for each in seen if (each.queue, each.attempt.task_id) == (queue, task_id)]

    def lines(self, attempt: SeenAttempt) -> Sequence[Line]:
        """Return what was logged in an attempt."""
        place = (attempt.queue, attempt.attempt.task_id, attempt.attempt.number)
        with self._lock:
            return [line for where, line in self._lines if where == place]


def _line(fields: dict[str, Any]) -> Line:
    texts = (fields.get(name, "") for name in ("severity", "message", "stack_trace"))
    return Line(*map(str, texts))
