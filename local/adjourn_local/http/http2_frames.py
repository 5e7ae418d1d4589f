"""The frames of HTTP/2, as a server receives and sends them (RFC 9113, sections 4 and 6)."""

from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, _PRIORITY, RESET, SETTINGS, PUSH, PING, GO_AWAY, WINDOW, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL, FLOW_CONTROL, FRAME_SIZE, REFUSED, COMPRESSION = 0, 1, 3, 6, 7, 9

MAX_FRAME = 1 << 14
MAX_BLOCK = 1 << 16
LARGEST = (1 << 31) - 1
_HEAD = 9
_PRIORITY_BYTES = 5

Frame = tuple[int, int, int, bytes]
"""The kind of a frame, its flags, the number of its stream, and its payload."""


class Http2Error(Exception):
    """The client breaks the protocol, so that the connection must end."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class FrameReader:
    """Reads the frames of a connection, whose data arrive in pieces."""

    def __init__(self) -> None:
        self._unread = b""
        self._has_preface = False
        self._block: Frame | None = None

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
        if kind != HEADERS and self._block is None and kind not in {PUSH, CONTINUATION}:
            return frame
        if kind == HEADERS and self._block is None:
            block = unpadded(flags, payload)[_PRIORITY_BYTES if flags & PRIORITIZED else 0 :]
            ends = flags & END_STREAM
        elif self._block is not None and (kind, number) == (CONTINUATION, self._block[2]):
            block, ends = self._block[3] + payload, self._block[1]
        else:
            raise Http2Error(PROTOCOL, "a frame has come out of order")
        if len(block) > MAX_BLOCK:
            raise Http2Error(PROTOCOL, "the headers are too large")
        whole = HEADERS, ends, number, block
        self._block = None if flags & END_HEADERS else whole
        return whole if self._block is None else None


def frame(kind: int, flags: int, number: int, payload: "bytes | memoryview") -> bytes:
    """Return a frame to send."""
    head = (len(payload) << 48 | kind << 40 | flags << 32 | number).to_bytes(_HEAD)
    return head + payload


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
