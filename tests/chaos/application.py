"""The application of the chaos tests: each call tells its number to a socket."""

import os
import socket

import adjourn

app = adjourn.App()


def tell(number: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(str(number).encode(), os.environ["CHAOS_EAR"])


@app.deferred
def plain(number: int) -> None:
    tell(number)


@app.deferred(once=True, timeout=15)
def once(number: int) -> None:
    tell(number)
