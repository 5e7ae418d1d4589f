"""Merge two files of pinned requirements, or report their conflicts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, canonicalize_version

from adjourn import __version__
from adjourn_local.deployed import REQUIREMENTS
from adjourn_local.errors import PackageError

_HASH = re.compile(r"\s--hash[= ](\S+)")
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
_OWN = "adjourn"
_FIX = (
    "Pin what the application needs on top of what adjourn pins, and name the result with"
    f" --requirements:\n  uv pip compile --universal --generate-hashes -c {REQUIREMENTS}"
    " requirements.in -o requirements.txt"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A package pinned to one version, as in a requirements file."""

    name: str
    version: str
    extras: frozenset[str] = frozenset()
    marker: str = ""
    hashes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}=={self.version}{marker}"

    def joined(self, other: "Pin") -> "Pin":
        """Return a pin with the extras, markers and hashes of both, which pin the same version."""
        marker = self.marker
        if marker != other.marker:
            marker = marker and other.marker and f"({marker}) or ({other.marker})"
        return Pin(
            name=self.name,
            version=self.version,
            extras=self.extras | other.extras,
            marker=marker,
            hashes=self.hashes | other.hashes,
        )


def read(path: Path) -> Sequence[Pin]:
    """Read a requirements file in which each requirement is pinned.

    A pin of adjourn itself is left out: the library is packaged as it runs here.

    Raises:
        PackageError: The file cannot be read, or has other lines; the message lists them.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"The requirements {path} cannot be read: {error}") from None
    pins, mistakes = [], []
    for number, line in _lines(text):
        try:
            pins.append(_pin(line))
        except ValueError as error:
            mistakes.append(f"- line {number}: {error}")
    if mistakes:
        raise PackageError(
            "\n".join([f"{path} must have pinned requirements only:", *mistakes, _FIX])
        )
    return [pin for pin in pins if pin.name != _OWN]


def merge(ours: Sequence[Pin], theirs: Sequence[Pin], *, where: Path) -> Sequence[Pin]:
    """Return the pins of both, sorted by name.

    Args:
        ours: The pins of adjourn.
        theirs: The pins of the application.
        where: The application's file, for the error message.

    Raises:
        PackageError: They pin different versions of a package; the message lists all of them.
    """
    conflicts = []
    merged: list[Pin] = []
    for name, group in groupby(sorted([*ours, *theirs], key=lambda pin: pin.name), _name):
        pins = list(group)
        versions = [_versions(side, name) for side in (ours, theirs)]
        if all(versions) and versions[0].keys() != versions[1].keys():
            first, second = (" and ".join(side.values()) for side in versions)
            conflicts.append(f"- {name}: adjourn has {first}, the application has {second}")
        merged += _joined(pins)
    if conflicts:
        raise PackageError("\n".join([f"{where} contradicts adjourn:", *conflicts, _FIX]))
    return merged


def need_hashes(pins: Sequence[Pin], *, where: Path) -> None:
    """Check that every pin has a hash, since pip and uv check the hashes of all or of none.

    Raises:
        PackageError: Some pins have none; the message lists them.
    """
    bare = [f"- {pin.name}" for pin in pins if not pin.hashes]
    if bare:
        first = f"{where} has no hashes for these packages. pip checks hashes of all or of none:"
        fix = (
            "uv pip compile --generate-hashes adds them. Or package all of them without hashes, so"
            " that nothing is checked: --without-hashes."
        )
        raise PackageError("\n".join([first, *bare, fix]))


def render(pins: Sequence[Pin], *, is_hashed: bool = True) -> str:
    """Return the text of a requirements file."""
    lines = []
    for pin in pins:
        hashes = sorted(pin.hashes) if is_hashed else []
        lines.append(" \\\n".join([str(pin), *(f"    --hash={each}" for each in hashes)]))
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each requirement, which can have several lines, with the number of its first line."""
    number = 1
    for logical in re.split(r"(?<!\\)\n", text.replace("\r\n", "\n")):
        line = _COMMENT.sub("", logical).replace("\\\n", " ").strip()
        if line:
            yield number, line
        number += logical.count("\n") + 1


def _pin(line: str) -> Pin:
    """Read one requirement.

    Raises:
        ValueError: The requirement is not pinned; the message says what to do.
    """
    hashes = frozenset(_HASH.findall(line))
    text = _HASH.sub("", line).strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"{text!r} is not of the form name==version") from None
    name = canonicalize_name(requirement.name)
    if name == _OWN and str(requirement.specifier) != f"=={__version__}":
        raise ValueError(
            f"{text!r}: packaged is adjourn {__version__}, which runs here; remove the line, or"
            f" write {_OWN}=={__version__}"
        )
    pinned = [each.version for each in requirement.specifier if each.operator == "=="]
    if requirement.url or len(pinned) != 1 or len(requirement.specifier) != 1 or "*" in pinned[0]:
        raise ValueError(f"{text!r} is not pinned to one version with ==")
    return Pin(
        name=name,
        version=pinned[0],
        extras=frozenset(canonicalize_name(extra) for extra in requirement.extras),
        marker=text.partition(";")[2].strip(),
        hashes=hashes,
    )


def _name(pin: Pin) -> str:
    return pin.name


def _versions(pins: Sequence[Pin], name: str) -> dict[str, str]:
    """Return the versions of a package as written, by their canonical forms."""
    return {canonicalize_version(pin.version): pin.version for pin in pins if pin.name == name}


def _joined(pins: Sequence[Pin]) -> Sequence[Pin]:
    joined: dict[str, Pin] = {}
    for pin in pins:
        key = canonicalize_version(pin.version)
        joined[key] = joined[key].joined(pin) if key in joined else pin
    return [joined[key] for key in sorted(joined)]
