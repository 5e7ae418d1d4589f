"""How a stack is told to be debugged."""

from adjourn_local.runtime.debugging import NOT_AT_ALL, Debugging

NAMES = ("deferred", "cron", "queryiter")


def test_each_function_has_a_port_of_its_own():
    found = [Debugging(port=5678).arguments(name, NAMES) for name in NAMES]

    assert found == [["0", "5678"], ["0", "5679"], ["0", "5680"]]


def test_one_request_is_served_at_a_time_only_where_somebody_debugs():
    assert not NOT_AT_ALL
    assert NOT_AT_ALL.environment() == {}
    assert NOT_AT_ALL.arguments("cron", NAMES) == ["0", "0"]
    assert Debugging(in_terminal=True).environment()["THREADS"] == "1"
    assert Debugging(in_terminal=True).arguments("cron", NAMES) == ["1", "0"]
