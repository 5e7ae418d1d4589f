"""The schedule of a queue: its next tasks by due time, a bounded number of them in memory."""

import heapq
from collections.abc import Callable

ScheduleEntry = tuple[int, int]
ReadPage = Callable[[ScheduleEntry, int], list[ScheduleEntry]]

_BEFORE_ALL: ScheduleEntry = (-1, -1)


class TaskSchedule:
    """A heap of (due time, task number) of the waiting tasks up to a frontier; the rest is on disk.

    The frontier moves back when the heap grows too long, and forward when the heap is empty. So a
    million waiting tasks take no more memory than ten thousand. Entries may be stale: compare a
    popped entry with the task.
    """

    def __init__(self, read_page: ReadPage, capacity: int = 10_000) -> None:
        self._read_page = read_page
        self._capacity = capacity
        self._heap: list[ScheduleEntry] = []
        self._frontier: ScheduleEntry | None = _BEFORE_ALL

    def add(self, entry: ScheduleEntry) -> None:
        """Add a waiting task that is already stored."""
        if self._frontier is not None and entry > self._frontier:
            return
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * self._capacity:
            self._heap = heapq.nsmallest(self._capacity, self._heap)
            self._frontier = self._heap[-1]

    def next_due(self) -> int | None:
        """Return the due time of the first entry, or None if no task waits."""
        while not self._heap:
            if self._frontier is None:
                return None
            self._heap = self._read_page(self._frontier, self._capacity)
            self._frontier = self._heap[-1] if len(self._heap) == self._capacity else None
        return self._heap[0][0]

    def pop(self) -> ScheduleEntry:
        """Remove and return the first entry; call it only after `next_due` has returned a time."""
        return heapq.heappop(self._heap)
