"""Dry runs: entities are walked over and counted, and the class says what it would do with them.

Of the class's hooks, only `load` and `dry_run_entry` are called, and `update_entry` for a copy.
Nothing is written but the run's own progress, with a tally of the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from adjourn.iteration.query_iter import QueryIter, answered
from adjourn.iteration.tally import LEAVE, Tally
from adjourn.ports import QuerySource


def as_dry_run(cls: type[QueryIter[Any]], encoded: bytes) -> type[QueryIter[Any]]:
    """Return a class that walks over the same entities and only says what `cls` would do.

    Args:
        cls: The user's class.
        encoded: The tally of the shard.
    """
    kept = ("batch_size", "step_seconds", "lease_seconds", "in_bulk")
    members: dict[str, Any] = {name: getattr(cls, name) for name in kept}
    return type(cls.__name__, (_DryRun,), {**members, "asked": cls, "tally": Tally.decode(encoded)})


class _DryRun(QueryIter[Any]):
    """Asks the class behind it what it would do, and counts the answers."""

    in_batches = True
    max_entry_retries = 0
    asked: type[QueryIter[Any]]
    hooks: QueryIter[Any]

    @classmethod
    def over(cls, queries: QuerySource) -> Self:
        """Return an instance for one step."""
        dry = super().over(queries)
        dry.hooks = cls.asked.over(queries)
        return dry

    def load(self, entity: Any) -> Any:
        """Return the entity, and what the class behind it makes of it."""
        return entity, answered(self.hooks.load(entity))

    def handle_batch(
        self, entries: Sequence[Any], custom_data: Any
    ) -> Sequence[Exception | None] | None:
        """Count what would be done with entities, and return the error of each that would fail."""
        loaded = [each for _, each in entries]
        hooks: Any = self.hooks
        if hooks.overrides("dry_run_entry"):
            answers = [_answer(hooks, each, custom_data) for each in loaded]
        else:
            answers = [_checked(each) for each in hooks.would_do(loaded, custom_data)]
        for (entity, _), answer in zip(entries, answers, strict=True):
            if isinstance(answer, str):
                self.tally.add(entity, answer)
        return [each if isinstance(each, Exception) else None for each in answers]


def _answer(hooks: QueryIter[Any], entry: object, custom_data: object) -> str | Exception:
    try:
        return _checked(answered(hooks.dry_run_entry(entry, custom_data)))
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises
        return error


def _checked(answer: object) -> str | Exception:
    if answer is None:
        return LEAVE
    if isinstance(answer, str | Exception):
        return answer
    return TypeError(f"dry_run_entry must return a text or None, not {type(answer).__name__}")
