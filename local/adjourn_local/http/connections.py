"""The connections of clients: which one a call came on, and whether a client has gone."""

from contextvars import ContextVar
from urllib.parse import unquote

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""Where the client of the call under way is connected, as gRPC names it, such as
`ipv4:127.0.0.1:50122`; empty for HTTP, whose clients close connections without going away."""


def is_gone(client: str) -> bool:
    """Return whether a client's connection to this process is closed; False if not known."""
    family, _, address = client.partition(":")
    host, _, port = unquote(address).rpartition(":")
    if family not in {"ipv4", "ipv6"} or not port.isdecimal():
        return False
    import psutil  # noqa: PLC0415 - only when somebody waits

    # A server that listens for both families sees IPv4 addresses within IPv6.
    peers = {(name, int(port)) for name in (host.strip("[]"), f"::ffff:{host}")}
    return not any(
        each.raddr in peers and each.status == psutil.CONN_ESTABLISHED
        for each in psutil.Process().net_connections("tcp")
    )
