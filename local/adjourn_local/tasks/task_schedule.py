"""What of a queue is due next, with a bounded part of it in memory and the rest on disk."""

import heapq
from collections.abc import Callable

ScheduleEntry = tuple[int, int]
Page = Callable[[ScheduleEntry, int], list[ScheduleEntry]]

_BEFORE_ALL: ScheduleEntry = (-1, -1)


class TaskSchedule:
    """A heap of (due, task id) that holds every waiting task up to a frontier, none beyond it.

    The frontier moves back when the heap grows too long and forward when it runs empty, so a
    million waiting tasks cost no more memory than some ten thousand. Entries may be stale: whoever
    pops one must compare it with the task.
    """

    def __init__(self, page: Page, capacity: int = 10_000) -> None:
        self._page = page
        self._capacity = capacity
        self._heap: list[ScheduleEntry] = []
        self._frontier: ScheduleEntry | None = _BEFORE_ALL

    def add(self, entry: ScheduleEntry) -> None:
        """Note a task that is stored as waiting."""
        if self._frontier is not None and entry > self._frontier:
            return
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * self._capacity:
            self._heap = heapq.nsmallest(self._capacity, self._heap)
            self._frontier = self._heap[-1]

    def next_due(self) -> int | None:
        """Return when the first entry is due, or None if nothing waits."""
        while not self._heap:
            if self._frontier is None:
                return None
            self._heap = self._page(self._frontier, self._capacity)
            self._frontier = self._heap[-1] if len(self._heap) == self._capacity else None
        return self._heap[0][0]

    def pop(self) -> ScheduleEntry:
        """Remove and return the first entry, which `next_due` has said is there."""
        return heapq.heappop(self._heap)
