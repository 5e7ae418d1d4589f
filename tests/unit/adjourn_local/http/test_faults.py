"""How faults are asked for, and that a seed decides what happens."""

import re
from collections import Counter

import pytest

from adjourn_local.http.faults import NO_FAULTS, FaultGenerator, Faults, parse

DELIVERIES = 10_000


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", NO_FAULTS),
        ("none", NO_FAULTS),
        ("seed=7", Faults(seed=7)),
        ("duplicates=0.05,seed=7", Faults(duplicates=0.05, seed=7)),
        ("lost-answers=1, errors=0,seed=7", Faults(lost_answers=1, seed=7)),
        ("delay=0.1..2s,seed=7", Faults(delay=(0.1, 2), seed=7)),
        ("delay=0.1s..2s,seed=7", Faults(delay=(0.1, 2), seed=7)),
        ("delay=2s,seed=7", Faults(delay=(2, 2), seed=7)),
        ("reorder,seed=7", Faults(reorder=0.5, seed=7)),
        ("reorder=1,seed=7", Faults(reorder=1, seed=7)),
    ],
)
def test_what_is_written_is_what_happens_and_can_be_written_again(text, faults):
    assert parse(text) == faults
    assert parse(str(faults)) == faults
    assert bool(faults) == (text not in {"", "none", "seed=7"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "'nonsense' is not a fault; the faults are delay, seed, duplicates"),
        ("duplicates=0.1,,errors=1", "'' is not a fault"),
        ("duplicates", "duplicates= is not a share from 0 to 1, such as duplicates=0.05"),
        ("errors=5", "errors=5 is not a share from 0 to 1"),
        ("errors=5%", "errors=5% is not a share"),
        ("errors=-0.1", "is not a share"),
        ("errors=nan", "is not a share"),
        ("reorder=often", "reorder=often is not a share"),
        ("delay=2", "delay=2 is not a duration such as 2s or 0.1..2s"),
        ("delay=3..2s", "is not a duration"),
        ("delay=-1s", "is not a duration"),
        ("delay", "is not a duration"),
        ("seed=x", "seed=x is not a whole number"),
        ("errors=0.1,errors=0.2", "names a fault twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(text)


def test_each_fault_happens_as_often_as_was_asked_for():
    faults = parse("duplicates=0.3,lost-answers=0.02,errors=0.1,delay=1..3s,reorder,seed=1")
    generator = FaultGenerator(faults)

    drawn = [generator.draw() for _ in range(DELIVERIES)]

    def share(name):
        return sum(getattr(each, name) for each in drawn) / DELIVERIES

    assert share("is_doubled") == pytest.approx(0.3, abs=0.02)
    assert share("is_lost") == pytest.approx(0.02, abs=0.005)
    assert share("is_refused") == pytest.approx(0.1, abs=0.02)
    assert share("is_held") == pytest.approx(0.5, abs=0.02)
    assert share("at_once") == pytest.approx(0.5, abs=0.02)
    assert share("delay") == pytest.approx(2, abs=0.05)
    assert all(1 <= each.delay <= 3 for each in drawn)


def test_a_seed_decides_every_fate_whatever_else_is_asked_for():
    def refused(text):
        generator = FaultGenerator(parse(text))
        return [generator.draw().is_refused for _ in range(100)]

    assert refused("errors=0.5,seed=1") == refused("errors=0.5,duplicates=0.9,delay=1s,seed=1")
    assert refused("errors=0.5,seed=1") != refused("errors=0.5,seed=2")


def test_without_a_seed_one_is_drawn_and_told():
    seeds = Counter(parse("errors=0.5").seed for _ in range(10))

    assert max(seeds.values()) == 1
    assert all(f"seed={seed}" in str(Faults(errors=0.5, seed=seed)) for seed in seeds if seed)
