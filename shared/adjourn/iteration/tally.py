"""The tally of a dry run: how many entities it would change, and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from adjourn.iteration.shards import Shard, path_of

LEAVE = "leave"

_MOST_SAMPLES = 20
_MOST_ANSWERS = 50
_LONGEST = 200  # characters of an answer, and of the key of a sample
_OTHER = "(other answers)"


@dataclass(slots=True, eq=False)
class Tally:
    """What a dry run would do with the entities of a shard.

    Attributes:
        counts: The number of entities for each answer.
        samples: The first entities, as text, with their answers.
    """

    counts: dict[str, int] = field(default_factory=dict)
    samples: list[tuple[str, str]] = field(default_factory=list)

    def add(self, entity: object, answer: str) -> None:
        """Count an entity."""
        answer = answer[:_LONGEST]
        if answer != LEAVE and len(self.samples) < _MOST_SAMPLES:
            self.samples.append((path_of(getattr(entity, "key", entity))[:_LONGEST], answer))
        if answer not in self.counts and len(self.counts) >= _MOST_ANSWERS:
            answer = _OTHER
        self.counts[answer] = self.counts.get(answer, 0) + 1

    def encode(self) -> bytes:
        """Return what the shard stores."""
        return json.dumps([self.counts, self.samples]).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Tally:
        """Read what `encode` returned, or b"" of a shard that has not begun."""
        counts, samples = json.loads(encoded or b"[{}, []]")
        return cls(counts, [(entity, answer) for entity, answer in samples])


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a run would do with the entities that it has walked over so far.

    Attributes:
        counts: The number of entities for each answer, such as `{"delete": 1200}`. "leave" stands
            for those that would stay as they are. After 50 different answers, further ones are
            counted together.
        samples: Up to 20 entities that would not stay as they are: key and answer.
    """

    counts: dict[str, int]
    samples: Sequence[tuple[str, str]]


def total(shards: Sequence[Shard]) -> DryRun:
    """Return what all shards of a dry run have found."""
    tallies = [Tally.decode(shard.tally) for shard in shards]
    counts: dict[str, int] = {}
    for tally in tallies:
        for answer, count in tally.counts.items():
            counts[answer] = counts.get(answer, 0) + count
    samples = (sample for tally in tallies for sample in tally.samples)
    return DryRun(counts=counts, samples=list(islice(samples, _MOST_SAMPLES)))
