"""Ask a package index which of the pinned versions have known vulnerabilities.

    python -m tools.audit [REQUIREMENTS ...]

Exit status: 0 if all pins were asked about and none has any, 1 if one has, 3 if the index could not
be asked about all of them. pip-audit asks PyPI (https://pypi.org/project/pip-audit/), and says "no
known vulnerabilities" where it could not ask, too.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.commands import beside

VULNERABLE, NOT_ASKED = 1, 3

_CHECKOUT = Path(__file__).resolve().parents[1]
_FILES = ("requirements.txt", "requirements-dev.txt")
_PROGRAM = "pip-audit>=2.10,<3"
_SHOWN = 5


class Verdict(NamedTuple):
    """What is known of the pins of a file.

    Attributes:
        pins: Number of pins.
        vulnerable: A line for each vulnerability.
        not_asked: A line for each pin about which nothing is known.
    """

    pins: int
    vulnerable: Sequence[str]
    not_asked: Sequence[str]

    @property
    def status(self) -> int:
        """The exit status that says it."""
        if self.vulnerable:
            return VULNERABLE
        return NOT_ASKED if self.not_asked or not self.pins else 0


def main(files: Sequence[str]) -> int:
    """Print what is known of each file; return the exit status."""
    statuses = []
    for file in files or [str(_CHECKOUT / name) for name in _FILES]:
        found = verdict(*_audited(file))
        for line in lines(Path(file).name, found):
            print(line)
        statuses.append(found.status)
    return VULNERABLE if VULNERABLE in statuses else max(statuses)


def lines(name: str, found: Verdict) -> Iterator[str]:
    """Yield what is said about a file."""
    yield from (f"{name}: {each}" for each in found.vulnerable)
    if found.not_asked:
        count = len(found.not_asked)
        yield f"{name}: COULD NOT ASK about {count} of {max(found.pins, count)} pins:"
        yield from (f"  {each}" for each in found.not_asked[:_SHOWN])
        if count > _SHOWN:
            yield f"  and {count - _SHOWN} more"
    elif not found.vulnerable:
        yield f"{name}: none of {found.pins} pins has a known vulnerability."


def verdict(report: str, errors: str) -> Verdict:
    """Return what a run of pip-audit tells.

    Args:
        report: Its output as JSON; anything else if it failed.
        errors: What else it printed.
    """
    try:
        told: Mapping[str, Any] = json.loads(report)
        pins = told["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip() or report.strip() or "nothing was said").splitlines()[-1]
        return Verdict(pins=0, vulnerable=(), not_asked=(last,))
    return Verdict(
        pins=len(pins),
        vulnerable=[line for each in pins for line in _vulnerabilities(each)],
        not_asked=[each["skip_reason"] for each in pins if "skip_reason" in each],
    )


def _vulnerabilities(pin: Mapping[str, Any]) -> Iterator[str]:
    for each in pin.get("vulns", ()):
        fixed = ", ".join(each.get("fix_versions", ())) or "no version"
        yield f"{pin['name']} {pin['version']} has {each['id']}, which {fixed} mends"


def _audited(file: str) -> tuple[str, str]:
    """Run pip-audit, in an environment of its own; return what it prints."""
    done = subprocess.run(
        [
            *(str(beside("uv")), "tool", "run", "--from", _PROGRAM, "pip-audit"),
            *("--requirement", file, "--disable-pip", "--require-hashes"),
            *("--format", "json", "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
