"""What each frame means, against RFC 9113."""

import hpack
import pytest

from adjourn_local.http import http2_streams
from adjourn_local.http.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    GO_AWAY,
    HEADERS,
    LARGEST,
    MAX_BLOCK_FRAMES,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PROTOCOL,
    REFUSED,
    RESET,
    SETTINGS,
    STREAM_CLOSED,
    TOO_MUCH,
    WINDOW,
    FrameReader,
    Http2Error,
    frame,
)
from adjourn_local.http.http2_sending import ResponseSender
from adjourn_local.http.http2_streams import INITIAL_WINDOW, MAX_OPEN, Streams

HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), ("te", "trailers")]
SETTINGS_FRAME = frame(SETTINGS, 0, 0, b"")
WHOLE = END_HEADERS | END_STREAM
LARGEST_BODY = 100


def block(*more):
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*each) for each in more])


HEAD_BLOCK = block(*HEAD)
BEGINNING = frame(HEADERS, END_HEADERS, 1, HEAD_BLOCK)
REQUEST = frame(HEADERS, WHOLE, 1, HEAD_BLOCK)


def number(value):
    return value.to_bytes(4)


def setting(name, value):
    return frame(SETTINGS, 0, 0, name.to_bytes(2) + number(value))


class Received:
    """What a server makes of what it receives."""

    def __init__(self):
        self.sender = ResponseSender(lambda _data: None)
        self.streams = Streams(self.sender, LARGEST_BODY)
        self._reader = FrameReader()
        list(self._reader.read(PREFACE))
        self.receive(SETTINGS_FRAME)
        self.streams.replies.clear()

    def receive(self, data):
        self.streams.receive(self._reader.read(data))

    def replies(self):
        return [self.read(each) for each in self.streams.replies]

    @staticmethod
    def read(data):
        return data[3], data[4], int.from_bytes(data[5:9]), data[9:]

    def ready(self):
        return [exchange.id for exchange in self.streams.ready]


@pytest.fixture
def received():
    return Received()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(HEADERS, END_HEADERS, 0, HEAD_BLOCK), PROTOCOL),
        (frame(HEADERS, END_HEADERS, 2, HEAD_BLOCK), PROTOCOL),
        (frame(HEADERS, END_HEADERS | PRIORITIZED, 1, b"abc"), FRAME_SIZE),
        (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + HEAD_BLOCK), PROTOCOL),
        (frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * MAX_BLOCK_FRAMES, TOO_MUCH),
        (frame(DATA, 0, 0, b"x"), PROTOCOL),
        (frame(DATA, 0, 1, b"x"), PROTOCOL),
        (BEGINNING + frame(DATA, PADDED, 1, b"\5abc"), PROTOCOL),
        (frame(RESET, 0, 0, number(0)), PROTOCOL),
        (frame(RESET, 0, 1, number(0)), PROTOCOL),
        (BEGINNING + frame(RESET, 0, 1, b"abc"), FRAME_SIZE),
        (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
        (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE),
        (frame(SETTINGS, 0, 1, b""), PROTOCOL),
        (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE),
        (frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE),
        (setting(INITIAL_WINDOW, LARGEST + 1), FLOW_CONTROL),
        (setting(http2_streams.PUSH, 2), PROTOCOL),
        (setting(http2_streams.FRAME_BYTES, (1 << 14) - 1), PROTOCOL),
        (setting(http2_streams.FRAME_BYTES, 1 << 24), PROTOCOL),
        (frame(PING, 0, 0, bytes(7)), FRAME_SIZE),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL),
        (frame(GO_AWAY, 0, 1, bytes(8)), PROTOCOL),
        (frame(GO_AWAY, 0, 0, bytes(7)), FRAME_SIZE),
        (frame(WINDOW, 0, 0, number(0)), PROTOCOL),
        (frame(WINDOW, 0, 0, number(LARGEST)), FLOW_CONTROL),
        (frame(WINDOW, 0, 0, b"abc"), FRAME_SIZE),
        (frame(WINDOW, 0, 1, number(1)), PROTOCOL),
    ],
)
def test_what_breaks_the_connection(received, data, code):
    with pytest.raises(Http2Error) as caught:
        received.receive(data)

    assert caught.value.code == code


@pytest.mark.parametrize("first", [BEGINNING, frame(PING, 0, 0, bytes(8))])
def test_settings_come_first(first):
    with pytest.raises(Http2Error):
        list(FrameReader().read(PREFACE + first))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (BEGINNING + BEGINNING, PROTOCOL),
        (BEGINNING + frame(HEADERS, END_HEADERS, 1, block(("x-end", "1"))), PROTOCOL),
        (BEGINNING + REQUEST, PROTOCOL),
        (REQUEST + REQUEST, STREAM_CLOSED),
        (REQUEST + frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
        (BEGINNING + frame(WINDOW, 0, 1, number(0)), PROTOCOL),
        (BEGINNING + frame(WINDOW, 0, 1, number(LARGEST)), FLOW_CONTROL),
        (frame(HEADERS, WHOLE, 1, block(*HEAD, ("X-Capital", "1"))), PROTOCOL),
        (frame(HEADERS, WHOLE, 1, block(*HEAD, ("content-length", "1"))), PROTOCOL),
    ],
)
def test_what_breaks_a_request_and_no_other(received, data, code):
    received.receive(data)
    received.receive(frame(HEADERS, WHOLE, 3, HEAD_BLOCK))

    assert received.replies() == [(RESET, 0, 1, number(code))]
    assert [each.id for each in received.streams.open()] == [3]


def test_a_number_that_was_left_out_is_not_used_later(received):
    received.receive(frame(HEADERS, WHOLE, 3, HEAD_BLOCK) + REQUEST)

    assert received.replies() == [(RESET, 0, 1, number(STREAM_CLOSED))]


@pytest.mark.parametrize(
    "data",
    [
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(PRIORITY, 0, 7, bytes(5)),
        frame(GO_AWAY, 0, 0, bytes(8)),
        frame(SETTINGS, ACK, 0, b""),
        frame(PING, ACK, 0, bytes(8)),
        frame(0xEE, 0xFF, 5, b"unknown"),
    ],
)
def test_what_needs_no_answer(received, data):
    received.receive(data + REQUEST)

    assert received.replies() == []
    assert received.ready() == [1]


@pytest.mark.parametrize(
    "late",
    [
        frame(DATA, END_STREAM, 1, b"x"),
        frame(WINDOW, 0, 1, number(1)),
        frame(RESET, 0, 1, number(0)),
    ],
)
def test_what_arrives_late_for_a_request_that_has_ended(received, late):
    received.receive(BEGINNING + frame(RESET, 0, 1, number(0)) + late)

    assert received.replies() == []
    assert received.streams.open() == []


def test_a_server_that_leaves_ignores_what_comes_after(received):
    """The client sent it before it knew."""
    received.receive(REQUEST)
    received.streams.is_leaving = True
    for payload in (
        frame(HEADERS, END_HEADERS, 3, HEAD_BLOCK),
        frame(DATA, END_STREAM, 3, b"x"),
        frame(WINDOW, 0, 3, number(1)),
        frame(RESET, 0, 3, number(0)),
    ):
        received.receive(payload)

    assert received.replies() == []
    assert received.ready() == [1]


def test_requests_beyond_the_limit_are_refused_until_others_end(received):
    numbers = range(1, 2 * MAX_OPEN, 2)
    received.receive(b"".join(frame(HEADERS, END_HEADERS, n, HEAD_BLOCK) for n in numbers))
    beyond = numbers[-1] + 2
    received.receive(frame(HEADERS, END_HEADERS, beyond, HEAD_BLOCK))
    received.receive(frame(RESET, 0, 1, number(NO_ERROR)))
    received.receive(frame(HEADERS, WHOLE, beyond + 2, HEAD_BLOCK))

    assert received.replies() == [(RESET, 0, beyond, number(REFUSED))]
    assert received.ready() == [beyond + 2]


def test_a_body_that_is_too_large_is_not_kept(received):
    received.receive(BEGINNING + frame(DATA, 0, 1, bytes(LARGEST_BODY + 1)))
    received.receive(frame(DATA, 0, 1, bytes(LARGEST_BODY)))

    (exchange,) = received.streams.ready
    assert exchange.is_too_large
    assert not exchange.body


def test_requests_that_are_too_large_together_are_refused(received, monkeypatch):
    monkeypatch.setattr(http2_streams, "_MOST_HELD", 2 * LARGEST_BODY)
    for n in (1, 3, 5):
        data = frame(DATA, 0, n, bytes(LARGEST_BODY))
        received.receive(frame(HEADERS, END_HEADERS, n, HEAD_BLOCK) + data)
    received.receive(frame(RESET, 0, 1, number(0)))
    received.receive(
        frame(HEADERS, END_HEADERS, 7, HEAD_BLOCK) + frame(DATA, END_STREAM, 7, bytes(LARGEST_BODY))
    )

    assert received.replies() == [(RESET, 0, 5, number(TOO_MUCH))]
    assert received.ready() == [7]


@pytest.mark.parametrize("length", [0, 5])
def test_a_body_as_long_as_its_headers_say(received, length):
    head = block(*HEAD, ("content-length", str(length)))
    received.receive(frame(HEADERS, END_HEADERS, 1, head))
    received.receive(frame(DATA, END_STREAM | PADDED, 1, b"\3" + bytes(length + 3)))

    assert received.ready() == [1]


def test_the_window_of_a_response_may_become_negative(received):
    received.receive(REQUEST)
    (exchange,) = received.streams.ready
    exchange.unsent, exchange.trailers = memoryview(bytes(70_000)), b""
    received.sender.begin(exchange, b"")
    received.receive(setting(INITIAL_WINDOW, 10))
    received.receive(frame(WINDOW, 0, 0, number(100_000)))
    received.sender.go_on()
    left = len(exchange.unsent)
    received.receive(frame(WINDOW, 0, 1, number(65_525)))
    received.sender.go_on()
    still = len(exchange.unsent)
    received.receive(frame(WINDOW, 0, 1, number(10)))
    received.sender.go_on()

    assert left == still == 70_000 - 65_535
    assert len(exchange.unsent) == left - 10
