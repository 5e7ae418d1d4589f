"""Bodies stay closed until somebody is let in, and then the connection goes on."""

import io
import socket

import pytest

from adjourn.requests.wsgi import DeliveriesFirst


def environ(data, **more):
    return {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(data),
        "CONTENT_LENGTH": str(len(data)),
        **more,
    }


def test_a_closed_body_is_empty_to_others_and_is_whole_when_opened():
    seen = []

    def application(given, _start):
        body = given["wsgi.input"]
        seen.extend([body.read(), body.read(5), body.readline(), body.read_whole()])
        return [b"answer"]

    answer = DeliveriesFirst(application)(environ(b"data"), lambda *_: None)

    assert seen == [b"", b"", b"", b"data"]
    assert list(answer) == [b"answer"]


class Server:
    """The part of gunicorn's response that an application may meet."""

    def __init__(self):
        self.is_closing = False

    def force_close(self):
        self.is_closing = True

    def start_response(self, status, headers):
        pass


def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize("reads", [True, False])
def test_the_connection_ends_unless_the_body_was_read(pair, reads):
    server = Server()

    def application(given, _start):
        if reads:
            given["wsgi.input"].read_whole()
        return [b"answer"]

    given = environ(b"data", **{"gunicorn.socket": pair[0]})
    answer = DeliveriesFirst(application)(given, server.start_response)

    assert list(answer) == [b"answer"]
    if hasattr(answer, "close"):
        answer.close()
    assert server.is_closing is not reads
    pair[0].settimeout(0)
    if reads:
        with pytest.raises(BlockingIOError):  # it waits for the next request
            pair[0].recv(1)
    else:
        assert pair[0].recv(1) == b""


def test_the_answer_of_the_application_is_closed():
    class Answer(list):
        is_closed = False

        def close(self):
            self.is_closed = True

    inner = Answer([b"x"])

    DeliveriesFirst(lambda *_: inner)(environ(b"data"), lambda *_: None).close()

    assert inner.is_closed
