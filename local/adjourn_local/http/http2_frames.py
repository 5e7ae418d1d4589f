"""The frames of HTTP/2, as a server receives and sends them (RFC 9113, sections 4 and 6)."""

from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GO_AWAY, WINDOW, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, REFUSED = 0, 1, 3, 5, 6, 7
COMPRESSION, TOO_MUCH = 9, 11

MAX_FRAME = 1 << 14
# The largest header block, in bytes, and of how many frames it may consist.
MAX_BLOCK = 1 << 18
MAX_BLOCK_FRAMES = 100
LARGEST = (1 << 31) - 1
_HEAD = 9
_PRIORITY_BYTES = 5
_SIZES = {PRIORITY: _PRIORITY_BYTES, RESET: 4, PING: 8, WINDOW: 4}
_LEAST_GO_AWAY = 8
_OF_STREAMS = frozenset({PRIORITY, RESET})
_OF_CONNECTIONS = frozenset({SETTINGS, PING, GO_AWAY})

Frame = tuple[int, int, int, bytes]
"""The kind of a frame, its flags, the number of its stream, and its payload."""


class Http2Error(Exception):
    """The client breaks the protocol, so that the connection must end."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamError(Exception):
    """A request breaks the protocol and must end; its connection goes on."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class FrameReader:
    """Reads the frames of a connection, whose data arrive in pieces."""

    def __init__(self) -> None:
        self._unread = b""
        self._has_preface = False
        self._has_settings = False
        self._block: Frame | None = None
        self._block_frames = 0

    def read(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete, without padding; a header block is one frame.

        Raises:
            Http2Error: The client breaks the protocol.
        """
        data = self._unread + data if self._unread else data
        start = 0 if self._has_preface else self._preface(data)
        while self._has_preface and len(data) - start >= _HEAD:
            end = start + _HEAD + int.from_bytes(data[start : start + 3])
            if end - start > _HEAD + MAX_FRAME:
                raise Http2Error(FRAME_SIZE, "a frame is too large")
            if len(data) < end:
                break
            number = int.from_bytes(data[start + 5 : start + _HEAD]) & LARGEST
            frame = data[start + 3], data[start + 4], number, data[start + _HEAD : end]
            if (whole := self._joined(frame)) is not None:
                yield whole
            start = end
        self._unread = data[start:]

    def _preface(self, data: bytes) -> int:
        """Return where the first frame begins."""
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise Http2Error(PROTOCOL, "the client does not speak HTTP/2")
        self._has_preface = len(data) >= len(PREFACE)
        return len(PREFACE) if self._has_preface else 0

    def _joined(self, frame: Frame) -> Frame | None:
        """Return a frame, or the one that it completes; None if its header block goes on."""
        kind, flags, number, payload = frame
        if kind not in {HEADERS, PUSH, CONTINUATION} and self._block is None:
            if kind != DATA:
                self._check(frame)
            return frame
        if not self._has_settings:
            raise Http2Error(PROTOCOL, "the first frame has no settings")
        if kind == HEADERS and self._block is None:
            block = _block(flags, payload)
            ends, self._block_frames = flags & END_STREAM, 0
        elif self._block is not None and (kind, number) == (CONTINUATION, self._block[2]):
            block, ends = self._block[3] + payload, self._block[1]
        else:
            raise Http2Error(PROTOCOL, "a frame has come out of order")
        self._block_frames += 1
        if len(block) > MAX_BLOCK or self._block_frames > MAX_BLOCK_FRAMES:
            raise Http2Error(TOO_MUCH, "the headers are too large")
        whole = HEADERS, ends, number, block
        self._block = None if flags & END_HEADERS else whole
        return whole if self._block is None else None

    def _check(self, frame: Frame) -> None:
        kind, _, number, payload = frame
        if kind == SETTINGS:
            self._has_settings = True
        elif not self._has_settings:
            raise Http2Error(PROTOCOL, "the first frame has no settings")
        if len(payload) != _SIZES.get(kind, len(payload)):
            raise Http2Error(FRAME_SIZE, "a frame has another size than its kind")
        if kind == GO_AWAY and len(payload) < _LEAST_GO_AWAY:
            raise Http2Error(FRAME_SIZE, "a GOAWAY is too short")
        if (kind in _OF_STREAMS and not number) or (kind in _OF_CONNECTIONS and number):
            raise Http2Error(PROTOCOL, "a frame is on the wrong stream")


def frame(kind: int, flags: int, number: int, payload: "bytes | memoryview") -> bytes:
    """Return a frame to send."""
    head = (len(payload) << 48 | kind << 40 | flags << 32 | number).to_bytes(_HEAD)
    return head + payload


def _block(flags: int, payload: bytes) -> bytes:
    """Return the header block, or its beginning, in the payload of HEADERS."""
    content = unpadded(flags, payload)
    if not flags & PRIORITIZED:
        return content
    if len(content) < _PRIORITY_BYTES:
        raise Http2Error(FRAME_SIZE, "the headers end within their priority")
    return content[_PRIORITY_BYTES:]


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return a payload without its padding.

    Raises:
        Http2Error: There is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Http2Error(PROTOCOL, "there is more padding than payload")
    return payload[1 : len(payload) - payload[0]]
