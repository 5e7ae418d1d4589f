"""The children that are registered in one shard or batch: values and decisions, no effects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from adjourn.batches.place import Kind, State

_SIZE = 16  # bytes of a key


class Counts(NamedTuple):
    """How many calls, runs and nested batches have ended in which way."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0

    @classmethod
    def of(cls, state: State) -> Counts:
        """Return the counts of one child."""
        return cls(state is State.DONE, state is State.FAILED, state is State.CANCELLED)

    def plus(self, other: Counts) -> Counts:
        """Return the sum of both."""
        return Counts(*(one + two for one, two in zip(self, other, strict=True)))

    def minus(self, other: Counts) -> Counts:
        """Return the difference of both."""
        return Counts(*(one - two for one, two in zip(self, other, strict=True)))


class Child(NamedTuple):
    """Something that is registered.

    Attributes:
        key: Digest of what tells it from other children of the batch.
        kind: What it is.
        state: How it stands.
    """

    key: bytes
    kind: Kind
    state: State = State.OPEN


class Children(NamedTuple):
    """All that is registered in one place, in a compact form.

    Attributes:
        keys: The keys, one behind the other.
        kinds: A letter for each.
        states: A letter for each.
        counts: Of those that have ended. A shard adds those of its children.
    """

    keys: bytes = b""
    kinds: str = ""
    states: str = ""
    counts: Counts = Counts()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Children:
        """Return what was stored."""
        counts = Counts(fields["done"], fields["failed"], fields["cancelled"])
        return cls(fields["children"], fields["kinds"], fields["states"], counts)

    def fields(self) -> dict[str, Any]:
        """Return what is stored."""
        return {
            "children": self.keys,
            "kinds": self.kinds,
            "states": self.states,
            **self.counts._asdict(),
        }

    @property
    def size(self) -> int:
        """How many are registered."""
        return len(self.states)

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return State.OPEN not in self.states

    def each(self) -> Iterator[Child]:
        """Yield the children in the order in which they were registered."""
        for number, (kind, state) in enumerate(zip(self.kinds, self.states, strict=True)):
            key = self.keys[number * _SIZE : (number + 1) * _SIZE]
            yield Child(key, Kind(kind), State(state))

    def state_of(self, key: bytes) -> State | None:
        """Return how a child stands; None if it is not registered here."""
        number = self._number(key)
        return None if number is None else State(self.states[number])

    def with_added(self, children: Iterable[Child]) -> Children:
        """Return these and those that are not among them yet."""
        new = [each for each in children if self._number(each.key) is None]
        return self._replace(
            keys=self.keys + b"".join(each.key for each in new),
            kinds=self.kinds + "".join(each.kind for each in new),
            states=self.states + State.OPEN * len(new),
        )

    def with_end(self, key: bytes, state: State, counts: Counts | None = None) -> Children:
        """Return them after the end of one; themselves if it has ended or is not registered.

        Args:
            key: The child.
            state: Its end.
            counts: What it counts for, if it is a shard.
        """
        if self.state_of(key) is not State.OPEN:
            return self
        return self._with_state(key, state)._replace(
            counts=self.counts.plus(counts or Counts.of(state))
        )

    def reopened(self, key: bytes, counts: Counts | None = None) -> Children:
        """Undo the end of a child; return themselves if it has none."""
        state = self.state_of(key)
        if state in {None, State.OPEN}:
            return self
        own = counts or Counts.of(State(state))
        return self._with_state(key, State.OPEN)._replace(counts=self.counts.minus(own))

    def _with_state(self, key: bytes, state: State) -> Children:
        number = self._number(key)
        assert number is not None  # noqa: S101 - whoever calls this has looked it up
        states = self.states[:number] + state + self.states[number + 1 :]
        return self._replace(states=states)

    def _number(self, key: bytes) -> int | None:
        start = self.keys.find(key)
        while start % _SIZE and start >= 0:  # found across two keys
            start = self.keys.find(key, start + 1)
        return start // _SIZE if start >= 0 else None
