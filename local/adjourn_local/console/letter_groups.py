"""Dead letters in groups: those of one task with one kind of error."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from adjourn.execution.dead_letters import GROUP, KIND
from adjourn.execution.stored_letters import StoredDeadLetter, letter_of
from adjourn.ports import Record
from adjourn_local.console.records import Page, Records

MOST_GROUPS = 15  # of a page; each takes three queries


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """The dead letters of one task with one kind of error.

    Attributes:
        name: Its name.
        count: How many there are.
        first: When the first of them was given up.
        last: The last of them, whose task and error stand for all.
    """

    name: str
    count: int
    first: dt.datetime
    last: StoredDeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPage:
    """Some groups.

    Attributes:
        groups: The groups, the largest first.
        next: The name of the last one if there are more; None if not.
    """

    groups: Sequence[LetterGroup]
    next: str | None


def find(records: Records, after: str = "") -> GroupPage:
    """Return some groups, of all tasks.

    Args:
        records: Where they are counted.
        after: The name of the last group of the page before.

    Raises:
        StoreError: Datastore could not be reached or refused.
    """
    firsts: list[tuple[str, StoredDeadLetter]] = []
    # One query leads from each group to the next, whatever their sizes.
    while len(firsts) <= MOST_GROUPS:
        place = firsts[-1][0] if firsts else after
        found = records.least(KIND, GROUP, f"{place}!" if place else None)
        if found is None:
            break
        firsts.append((_group(found[1]), letter_of(*found)))
    shown = firsts[:MOST_GROUPS]

    def group(found: tuple[str, StoredDeadLetter]) -> LetterGroup:
        name, letter = found
        count = records.count(KIND, begins=_within(name))
        rows = letters(records, name, size=1).rows if count > 1 else ()
        last = letter_of(*rows[0]) if rows else letter
        return LetterGroup(name=name, count=count, first=letter.buried_at, last=last)

    groups = records.together(group, shown)
    return GroupPage(
        groups=sorted(groups, key=lambda each: -each.count),
        next=shown[-1][0] if len(firsts) > len(shown) else None,
    )


def letters(records: Records, name: str, *, size: int, after: str | None = None) -> Page:
    """Return some letters of a group, the latest first.

    Raises:
        StoreError: Datastore could not be reached or refused.
        AddressError: The cursor is none.
    """
    return records.page(KIND, size=size, begins=_within(name), after=after)


def _within(name: str) -> tuple[str, str]:
    return GROUP, f"{name} "


def _group(record: Record) -> str:
    return str(record[GROUP]).partition(" ")[0]
