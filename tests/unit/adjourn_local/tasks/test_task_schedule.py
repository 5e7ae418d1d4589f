from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adjourn_local.tasks.task_schedule import TaskSchedule

CAPACITY = 3


class AgendaMachine(RuleBasedStateMachine):
    """However entries come and go, the agenda gives them in order and loses none."""

    def __init__(self):
        super().__init__()
        self.stored = set()
        self.agenda = TaskSchedule(self.page, CAPACITY)
        self.numbers = 0

    def page(self, after, limit):
        return sorted(entry for entry in self.stored if entry > after)[:limit]

    @rule(due=st.integers(0, 9))
    def add(self, due):
        self.numbers += 1
        entry = (due, self.numbers)
        self.stored.add(entry)
        self.agenda.add(entry)

    @rule()
    def pop(self):
        if self.stored:
            assert self.agenda.next_due() == min(self.stored)[0]
            entry = self.agenda.pop()
            assert entry == min(self.stored)
            self.stored.remove(entry)

    @invariant()
    def the_next_is_the_first_of_what_is_stored(self):
        first = min(self.stored)[0] if self.stored else None
        assert self.agenda.next_due() == first

    @invariant()
    def memory_is_bounded(self):
        assert len(self.agenda._heap) <= 2 * CAPACITY


TestAgenda = AgendaMachine.TestCase
