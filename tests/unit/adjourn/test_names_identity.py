"""Which call a record belongs to: for ever the same, and known to nobody who knows its id alone."""

import datetime as dt

import pytest

from adjourn.names import CallIdentity

NOON = dt.datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=dt.UTC)
CALL = CallIdentity.of("7f3a", "shop.send", NOON)


def test_the_fingerprint_is_what_is_stored_out_there():
    assert CALL == ("7f3a", "91c8fd68ad8111b4c54c35238b96059f")


def test_the_zone_of_the_time_does_not_matter():
    berlin = NOON.astimezone(dt.timezone(dt.timedelta(hours=1)))

    assert CallIdentity.of("7f3a", "shop.send", berlin) == CALL


@pytest.mark.parametrize(
    "other",
    [
        ("7f3b", "shop.send", NOON),
        ("7f3a", "shop.bill", NOON),
        ("7f3a", "shop.send", NOON + dt.timedelta(microseconds=1)),
    ],
)
def test_another_id_task_or_microsecond_is_another_call(other):
    assert CallIdentity.of(*other).fingerprint != CALL.fingerprint


@pytest.mark.parametrize(("call", "task"), [("7f3a-periodic", "sweep"), ("7f3a", "viur:call")])
def test_a_call_that_may_be_made_anew_under_its_id_is_the_same(call, task):
    later = NOON + dt.timedelta(hours=1)

    assert CallIdentity.of(call, task, later) == CallIdentity.of(call, task, NOON)
