"""A storm: processes die and stand still, and clocks jump, the more the further the work is."""

import datetime as dt
import logging
import threading
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from random import Random
from typing import Self

from tests.chaos.stack_process import StackProcess

# In this order; each is one event.
_CYCLE = ("kill", "jump", "kill", "pause", "kill", "restart", "jump back", "kill", "freeze")

_log = logging.getLogger(__name__)


class Storm:
    """Does harm to a stack in a thread of its own, whenever a further part of the work is done.

    Args:
        stack: The stack.
        function: The function whose workers are killed and paused.
        done: Returns how much of the work is done.
        total: How much there is. The storm is over when nearly all of it is done.
        events: How often harm is done until then.

    Attributes:
        happened: How often each kind of harm was done.
    """

    def __init__(
        self,
        stack: StackProcess,
        function: str,
        *,
        done: Callable[[], int],
        total: int,
        events: int,
    ) -> None:
        self.happened: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._stack = stack
        self._function = function
        self._done = done
        self._at = [total * number // (events + 1) for number in range(1, events + 1)]
        self._random = Random(7)
        self._ahead = dt.timedelta()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(120)

    def stop(self) -> None:
        """Do no more harm."""
        self._is_over.set()

    @property
    def is_over(self) -> bool:
        """Whether no more harm is done."""
        return not self._thread.is_alive()

    def jump(self, by: dt.timedelta) -> None:
        """Set the clock forward or back."""
        self._ahead += by
        time = dt.datetime.now(dt.UTC) + self._ahead
        self._stack.set_clock(f"jump={time.isoformat()}")

    def _run(self) -> None:
        try:
            kinds = cycle(_CYCLE)
            for at in self._at:
                while self._done() < at:
                    if self._is_over.wait(0.02):
                        return
                kind = next(kinds)
                _log.info("%s after %d", kind, at)
                self._do(kind)
                self.happened[kind] += 1
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.error = error

    def _do(self, kind: str) -> None:
        seconds = self._random.uniform(0.5, 4)
        if kind == "kill":
            self._stack.kill_workers(self._function)
        elif kind == "pause":
            self._stack.pause(self._function, seconds)
        elif kind == "freeze":
            self._stack.pause("", seconds)
        elif kind == "restart":
            self._stack.kill()
            self._stack.start()
            self.jump(dt.timedelta())  # a stack begins with the machine's time
        else:
            by = dt.timedelta(seconds=self._random.uniform(5, 90))
            self.jump(by if kind == "jump" else -by / 3)
