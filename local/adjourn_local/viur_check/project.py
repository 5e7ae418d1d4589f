"""Walks over the source files of a project and applies the rules."""

import ast
import re
import warnings
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
    for file in sources(path):
        try:
            parsed.append((file, _parsed(file)))
        except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or getattr(error, "strerror", None) or str(error)
            text = f"it cannot be read: {reason or type(error).__name__}"
            line = getattr(error, "lineno", 1) or 1
            yield Finding(str(file), line, "syntax", Weight.CHANGE, text)
    deferred = frozenset(
        name for _, tree in parsed for name in names(tree, "CallDeferred", "callDeferred")
    )
    schedules = rhythms(path)
    for file, tree in parsed:
        context = Context(version, schedules, deferred, _iterations(tree))
        found = _in_tree(tree, context, str(file))
        yield from sorted(found, key=lambda each: (each.line, each.rule))


def _parsed(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "invalid escape sequence", without the file's name
        return ast.parse(file.read_bytes())


def rhythms(path: Path) -> dict[str, str]:
    """Return the schedules by cron name of the cron.yaml that is in a project, or just above."""
    folders = [path, *path.resolve().parents[:2]]
    inside = sorted(path.rglob("cron.yaml")) if path.is_dir() else []
    for file in [*inside, *(folder / "cron.yaml" for folder in folders)]:
        if file.is_file():
            return _schedules(file.read_text(encoding="utf-8", errors="replace"))
    return {}


def _schedules(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in re.split(r"(?m)^\s*-\s", text):
        url = re.search(r"(?m)url:\s*[\"']?/_tasks/cron/?([\w-]*)", entry)
        schedule = re.search(r"(?m)schedule:\s*[\"']?([^\"'#\n]+)", entry)
        if url and schedule:
            found[url.group(1) or "default"] = schedule.group(1).strip()
    return found


def sources(path: Path) -> Iterator[Path]:
    """Yield the Python files of a project; what is installed, built or hidden is left out."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*.py")):
        parts = file.relative_to(path).parts
        is_hidden = any(part.startswith(".") for part in parts)
        if not is_hidden and not _LEFT_OUT & set(parts) and not file.is_dir():
            yield file


def _in_tree(tree: ast.AST, context: Context, file: str) -> Iterator[Finding]:
    waiting = [(tree, context)]  # a list, since a tree may be deeper than calls can be
    while waiting:
        parent, around = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            for name, rule in RULES.items():
                for at, weight, text in rule(node, around):
                    yield Finding(file, getattr(at, "lineno", 1), name, weight, text)
            within = replace(around, in_class=node) if isinstance(node, ast.ClassDef) else around
            waiting.append((node, within))


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
