"""What is found in a source, and what is known of the project around it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Weight(Enum):
    """What a finding asks for."""

    CHANGE = "change"  # it is refused, or does something else than in ViUR
    KNOW = "know"  # it works, but not in every respect as in ViUR


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a project that behaves differently.

    Attributes:
        file: The file, as it was found.
        line: Its line, from 1.
        rule: Name of the rule.
        weight: What it asks for.
        text: What is different, and what to do.
    """

    file: str
    line: int
    rule: str
    weight: Weight
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules know of a file besides the node.

    Attributes:
        version: Major and minor version of the project's ViUR; None if nobody knows.
        rhythms: Schedules of the project's cron.yaml by cron name.
        deferred: Names of the functions and methods that are deferred somewhere in the project.
        iterations: Names of the classes that are iterations, in this file.
        in_class: The class in whose body the node stands.
    """

    version: tuple[int, int] | None
    rhythms: Mapping[str, str]
    deferred: frozenset[str]
    iterations: frozenset[str]
    in_class: ast.ClassDef | None = None
