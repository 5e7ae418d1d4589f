"""Walks over the source files of a project and applies the rules."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adjourn_local.viur_check.finding import Context, Finding, Weight
from adjourn_local.viur_check.rules import RULES
from adjourn_local.viur_check.syntax import last_name, names

_LEFT_OUT = {"site-packages", "node_modules", "__pycache__", "build"}
_ITERATIONS = {"QueryIter", "DeleteEntitiesIter"}


def findings(path: Path, version: tuple[int, int] | None = None) -> Iterator[Finding]:
    """Yield what behaves differently, file by file and line by line.

    Args:
        path: Folder of a project, or one file.
        version: Major and minor version of its ViUR; None if nobody knows.
    """
    parsed: list[tuple[Path, ast.Module]] = []
    for file in _files(path):
        try:
            parsed.append((file, ast.parse(file.read_bytes())))
        except (SyntaxError, ValueError) as error:
            text = f"it cannot be read: {type(error).__name__}"
            yield Finding(
                str(file), getattr(error, "lineno", 1) or 1, "syntax", Weight.CHANGE, text
            )
    deferred = frozenset(
        name for _, tree in parsed for name in names(tree, "CallDeferred", "callDeferred")
    )
    schedules = rhythms(path)
    for file, tree in parsed:
        context = Context(version, schedules, deferred, _iterations(tree))
        found = _in_tree(tree, context, str(file))
        yield from sorted(found, key=lambda each: (each.line, each.rule))


def rhythms(path: Path) -> dict[str, str]:
    """Return the schedules by cron name of the cron.yaml that is in a project, or just above."""
    folders = [path, *path.resolve().parents[:2]]
    inside = sorted(path.rglob("cron.yaml")) if path.is_dir() else []
    for file in [*inside, *(folder / "cron.yaml" for folder in folders)]:
        if file.is_file():
            return _schedules(file.read_text(encoding="utf-8"))
    return {}


def _schedules(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in re.split(r"(?m)^\s*-\s", text):
        url = re.search(r"(?m)url:\s*[\"']?/_tasks/cron/?([\w-]*)", entry)
        schedule = re.search(r"(?m)schedule:\s*[\"']?([^\"'#\n]+)", entry)
        if url and schedule:
            found[url.group(1) or "default"] = schedule.group(1).strip()
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*.py")):
        parts = file.relative_to(path).parts
        if not _LEFT_OUT & set(parts) and not any(part.startswith(".") for part in parts):
            yield file


def _in_tree(tree: ast.AST, context: Context, file: str) -> Iterator[Finding]:
    for node in ast.iter_child_nodes(tree):
        for name, rule in RULES.items():
            for at, weight, text in rule(node, context):
                yield Finding(file, getattr(at, "lineno", 1), name, weight, text)
        inner = context
        if isinstance(node, ast.ClassDef):
            inner = replace(context, in_class=node)
        yield from _in_tree(node, inner, file)


def _iterations(tree: ast.AST) -> frozenset[str]:
    """Return the classes that are iterations, those that are so by a base in this file included."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = set(_ITERATIONS)
    while grown := {
        each.name
        for each in classes
        if each.name not in found and {last_name(base) for base in each.bases} & found
    }:
        found |= grown
    return frozenset(found - _ITERATIONS)
