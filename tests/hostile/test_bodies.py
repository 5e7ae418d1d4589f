"""The heaviest bodies that a caller who is let in can send; `bench.bodies` measures all of them."""

import json
import subprocess
import sys

import pytest

from tests.checkout import ROOT
from tests.hostile.heavy_bodies import Cost

# Each takes less than two seconds of a processor that has nothing else to do.
SECONDS, MEGABYTES = 6, 150
WORST = (
    "64 MB of lists",
    "200 MB of zeros",
    "objects of one",
    "entities",
    "a text with a wide character",
    "small texts beyond the limit",
    "a long number beside a decimal of its hash",
    "members of a set with one hash",
    "keys of which 100 have one hash",
    "lists 300,000 deep",
    "a deep version",
)


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, Cost]]:
    """Return what each body costs, by the way in which it is decoded."""
    # In a process without threads, because it forks.
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.heavy_bodies", *WORST],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return {
        name: {way: Cost(*cost) for way, cost in ways.items()}
        for name, ways in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize("name", WORST)
def test_no_body_takes_more_than_a_call_is_worth(
    costs: dict[str, dict[str, Cost]], name: str
) -> None:
    for cost in costs[name].values():
        assert not cost.outcome.startswith("FAULT")
        assert cost.mb <= MEGABYTES
        assert cost.seconds <= SECONDS, cost
