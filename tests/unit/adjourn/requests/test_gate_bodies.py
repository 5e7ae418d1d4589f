"""Bodies are read whole, within limits of size and time."""

import io
import socket
import threading

import pytest

from adjourn.errors import BrokenBodyError, SlowBodyError, TooLongBodyError
from adjourn.requests.gate import LONGEST_BODY, RequestBody


def environ(data=b"", length=None, **more):
    stream = data if hasattr(data, "read") else io.BytesIO(data)
    said = {} if length is None else {"CONTENT_LENGTH": str(length)}
    return {"wsgi.input": stream, **said, **more}


TERMINATED = {"wsgi.input_terminated": True}


@pytest.mark.parametrize("terminated", [{}, TERMINATED])
@pytest.mark.parametrize("data", [b"", b"x", b"x" * LONGEST_BODY])
def test_a_body_is_read_whole(data, terminated):
    body = RequestBody(environ(data, len(data), **terminated))

    assert body.read_whole() == data
    assert body.is_read


def test_a_body_in_pieces_is_read_whole():
    class Pieces:
        def __init__(self, *pieces):
            self._left = list(pieces)

        def read(self, _size):
            return self._left.pop(0) if self._left else b""

    known = RequestBody(environ(Pieces(b"a", b"bc", b"d"), 4))
    unknown = RequestBody(environ(Pieces(b"a", b"b"), **TERMINATED))

    assert (known.read_whole(), unknown.read_whole()) == (b"abcd", b"ab")


def test_no_more_is_read_than_was_announced():
    stream = io.BytesIO(b"one and the next request")

    assert RequestBody(environ(stream, 3)).read_whole() == b"one"
    assert stream.read() == b" and the next request"


def test_without_a_length_or_a_server_that_knows_the_end_there_is_no_body():
    assert RequestBody(environ(b"what follows")).read_whole() == b""


@pytest.mark.parametrize(
    "length", [str(LONGEST_BODY + 1), "9" * 8, "9" * 5000, "0" * 5000 + "9999999"]
)
def test_one_that_is_too_long_is_not_even_begun(length):
    stream = io.BytesIO(b"x")

    with pytest.raises(TooLongBodyError):
        RequestBody(environ(stream, length)).read_whole()

    assert stream.tell() == 0


def test_one_that_turns_out_to_be_too_long_is_not_read_on():
    stream = io.BytesIO(bytes(LONGEST_BODY * 3))
    body = RequestBody(environ(stream, **TERMINATED))

    with pytest.raises(TooLongBodyError):
        body.read_whole()

    assert stream.tell() == LONGEST_BODY + 1
    assert not body.is_read


def test_leading_zeros_of_a_length_do_not_count():
    assert RequestBody(environ(b"xy", "0" * 5000 + "2")).read_whole() == b"xy"


@pytest.mark.parametrize(
    "length", ["-1", "+1", "1.0", "1_0", "0x1", " 1", "x", "²", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_a_length_that_is_none_is_broken(length):
    with pytest.raises(BrokenBodyError):
        RequestBody(environ(b"x", length)).read_whole()


def test_one_that_ends_early_is_broken():
    body = RequestBody(environ(b"x", 2))

    with pytest.raises(BrokenBodyError):
        body.read_whole()

    assert not body.is_read


@pytest.mark.parametrize("error", [ValueError("framing"), OSError("reset"), StopIteration()])
def test_whatever_the_server_raises_means_broken(error):
    class Stream:
        def read(self, _size):
            raise error

    with pytest.raises(BrokenBodyError) as caught:
        RequestBody(environ(Stream(), 2)).read_whole()

    assert caught.value.__cause__ is error


class OverSocket:
    """Reads as gunicorn does: it comes back when it has everything, or when nothing comes."""

    def __init__(self, connection):
        self._connection = connection

    def read(self, size):
        data = b""
        while len(data) < size and (piece := self._connection.recv(size - len(data))):
            data += piece
        return data


def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def over(connection, seconds, length=100):
    more = {"gunicorn.socket": connection, **TERMINATED}
    return RequestBody(environ(OverSocket(connection), length, **more), seconds)


def test_a_silent_sender_is_too_slow(pair):
    with pytest.raises(SlowBodyError):
        over(pair[0], 0.01).read_whole()

    pair[0].sendall(b"408")  # it can still be told
    assert pair[1].recv(3) == b"408"


def test_a_sender_of_single_bytes_is_too_slow(pair):
    is_over = threading.Event()

    def drip():
        while not is_over.wait(0.001):
            try:
                pair[1].sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(SlowBodyError):
            over(pair[0], 0.05, LONGEST_BODY).read_whole()
    finally:
        is_over.set()
        thread.join()


def test_reading_in_time_leaves_the_connection_as_it_was(pair):
    for _ in range(3):
        pair[1].sendall(b"x" * 100)
        assert over(pair[0], 60).read_whole() == b"x" * 100
