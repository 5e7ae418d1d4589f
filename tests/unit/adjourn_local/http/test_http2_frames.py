import pytest

from adjourn_local.http.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LARGEST,
    MAX_BLOCK,
    MAX_FRAME,
    PADDED,
    PREFACE,
    PRIORITIZED,
    PUSH,
    SETTINGS,
    FrameReader,
    Http2Error,
    frame,
    unpadded,
)

SETTINGS_FRAME = frame(SETTINGS, 0, 0, b"")
START = PREFACE + SETTINGS_FRAME
REQUEST = [
    frame(HEADERS, END_HEADERS, 1, b"head"),
    frame(DATA, END_STREAM, 1, b"body"),
    frame(HEADERS, PADDED | PRIORITIZED | END_STREAM, 3, b"\2" + b"prior" + b"he" + b"\0\0"),
    frame(CONTINUATION, 0, 3, b"a"),
    frame(CONTINUATION, END_HEADERS, 3, b"d"),
    frame(0xFA, 0, LARGEST, b"unknown"),
]
READ = [
    (HEADERS, 0, 1, b"head"),
    (DATA, END_STREAM, 1, b"body"),
    (HEADERS, END_STREAM, 3, b"head"),
    (0xFA, 0, LARGEST, b"unknown"),
]


@pytest.mark.parametrize("size", [1, 2, 9, 10, 1000])
def test_frames_are_read_whatever_pieces_they_arrive_in(size):
    data, reader = START + b"".join(REQUEST), FrameReader()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    assert [each for piece in pieces for each in reader.read(piece)] == [
        (SETTINGS, 0, 0, b""),
        *READ,
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        PREFACE[:-1] + b"x",
        START + frame(DATA, 0, 1, bytes(MAX_FRAME + 1)),
        START + frame(CONTINUATION, END_HEADERS, 1, b""),
        START + frame(PUSH, END_HEADERS, 1, b""),
        START + frame(HEADERS, 0, 1, b"") + frame(DATA, 0, 1, b""),
        START + frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, END_HEADERS, 3, b""),
        START + frame(HEADERS, 0, 1, b"") + frame(HEADERS, END_HEADERS, 3, b""),
        START + frame(HEADERS, PADDED | END_HEADERS, 1, b""),
        START
        + frame(HEADERS, 0, 1, b"")
        + frame(CONTINUATION, 0, 1, bytes(MAX_FRAME)) * (MAX_BLOCK // MAX_FRAME + 1),
    ],
)
def test_what_breaks_the_protocol_is_refused(data):
    with pytest.raises(Http2Error):
        list(FrameReader().read(data))


def test_padding_is_removed():
    assert unpadded(PADDED, b"\3body\0\0\0") == b"body"
    assert unpadded(PADDED, b"\0") == b""
    assert unpadded(0, b"\3body") == b"\3body"
    with pytest.raises(Http2Error):
        unpadded(PADDED, b"\1")


def test_a_piece_of_a_frame_is_kept_and_not_read_again():
    """A frame that never ends costs no more memory than it may have."""
    reader = FrameReader()
    assert len(list(reader.read(START + frame(DATA, 0, 1, bytes(MAX_FRAME))[:-1]))) == 1
    assert [len(payload) for *_, payload in reader.read(b"\0")] == [MAX_FRAME]
    assert list(reader.read(b"")) == []
