"""Whether a server listens at an address."""

import socket

_LONGEST = 3  # seconds; the addresses are those of this machine


def why_unreachable(address: str) -> str:
    """Return why no connection can be made to `host:port`; "" if one can be made.

    It is also "" for what is no such address.
    """
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()):
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), _LONGEST).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""
