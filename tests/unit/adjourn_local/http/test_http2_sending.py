from types import MappingProxyType

import pytest

from adjourn_local.http.http2_exchange import Exchange
from adjourn_local.http.http2_frames import DATA, PREFACE, RESET, SETTINGS, FrameReader, frame
from adjourn_local.http.http2_headers import Headers
from adjourn_local.http.http2_sending import DEFAULT_WINDOW, ResponseSender

NO_HEADERS = Headers(MappingProxyType({}), 0, None, is_request=True, is_trailers=False)


class Client:
    """Reads what a sender writes."""

    def __init__(self):
        self.writes = []
        self.sender = ResponseSender(self.write)
        self.takes = 1 << 62

    def write(self, data):
        self.writes.append(data)
        if sum(map(len, self.writes)) >= self.takes:
            self.sender.is_full = True

    def frames(self):
        start = PREFACE + frame(SETTINGS, 0, 0, b"")
        return list(FrameReader().read(start + b"".join(self.writes)))[1:]

    def bodies(self):
        """Return how much of each response has arrived."""
        found = {}
        for kind, _, number, payload in self.frames():
            if kind == DATA:
                found[number] = found.get(number, 0) + len(payload)
        return found

    def answer(self, number, size, *, is_complete=True):
        exchange = Exchange(number, NO_HEADERS, is_complete=is_complete)
        exchange.unsent, exchange.trailers = memoryview(bytes(size)), b"trailers"
        return exchange, self.sender.begin(exchange, b"")


@pytest.fixture
def client():
    return Client()


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, DEFAULT_WINDOW])
def test_a_response_that_the_client_takes_is_sent_at_once(client, size):
    _, is_sent = client.answer(1, size)

    assert is_sent
    assert client.bodies().get(1, 0) == size
    assert len(client.writes) == 1
    assert client.sender.unsent == 0


def test_the_window_of_the_connection_holds_for_all(client):
    client.sender.initial_window = 1 << 20
    client.answer(1, 60_000)
    second, is_sent = client.answer(3, 60_000)
    client.sender.window += 100_000

    assert not is_sent
    assert client.bodies() == {1: 60_000, 3: 5_535}
    assert client.sender.unsent == 54_465
    assert client.sender.go_on() == [second]
    assert client.bodies() == {1: 60_000, 3: 60_000}
    assert client.sender.unsent == 0


def test_a_window_that_grows_in_steps_is_used_at_once(client):
    client.sender.initial_window = 0
    first, _ = client.answer(1, 1_000)
    for _ in range(1_000):
        first.window += 1

    assert client.sender.go_on() == [first]
    assert [kind for kind, *_ in client.frames()].count(DATA) == 1


def test_a_transport_that_is_full_gets_no_more(client):
    client.sender.initial_window = client.sender.window = 100 << 20
    client.takes = 1 << 20
    exchange, is_sent = client.answer(1, 10 << 20)
    got = client.bodies()[1]
    client.takes, client.sender.is_full = 1 << 62, False

    assert not is_sent
    assert got < 2 << 20
    assert client.sender.go_on() == [exchange]
    assert client.bodies()[1] == 10 << 20


def test_a_response_that_nobody_waits_for_is_dropped(client):
    client.sender.initial_window = 0
    exchange, _ = client.answer(1, 1_000)
    client.sender.drop(exchange)
    client.sender.drop(exchange)

    assert client.sender.unsent == 0
    assert client.sender.go_on() == []


def test_a_request_that_is_answered_early_need_not_go_on(client):
    client.answer(1, 0, is_complete=False)

    assert [kind for kind, *_ in client.frames()][-1] == RESET
