import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the two ends of a connection."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()
