"""The application of the chaos tests: each call tells what it is to a socket."""

import os
import socket
import threading
import time

import adjourn
from tests.chaos.batch_tasks import declare

app = adjourn.App()

MINUTES = 10**9  # more than there are since 1970


def tell(what: int | str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(str(what).encode(), os.environ["CHAOS_EAR"])


@app.deferred
def plain(number: int) -> None:
    tell(number)


@app.deferred(once=True)
def once(number: int) -> None:
    tell(number)


@app.deferred(flow=adjourn.Flow(key="key", concurrency=2), timeout=15, max_backoff=2)
def limited(key: str, number: int) -> None:
    """Take a moment, and tell when it begins and ends."""
    tell(f"flow begin {os.getpid()} {key} {number}")
    threading.Event().wait(0.02)
    tell(f"flow end {os.getpid()} {key} {number}")


@app.deferred(flow=adjourn.Flow(key="key", rate="20/s", burst=10), timeout=15, max_backoff=2)
def rated(key: str, number: int) -> None:
    """Tell when it begins."""
    tell(f"flow {time.time()} {os.getpid()} {key} {number}")


batch_tasks = declare(app, tell)


@app.deferred(max_retries=2)
def die(number: int) -> None:
    """End the process, as a fault in a library written in C or the lack of memory does."""
    tell(number)
    os._exit(1)


@app.deferred(timeout=15, max_retries=0)
def spin(number: int) -> None:
    """Never end."""
    tell(number)
    while True:
        pass


@app.deferred(debounce=5, by="task", once=True)
def settled(number: int) -> None:
    tell(number)


app.schedules.serve()


@app.deferred(once=True)
def scheduled(number: int) -> None:
    """Tell which schedule was due, and in which minute."""
    eta = adjourn.current_task().eta
    assert eta is not None
    tell(number * MINUTES + int(eta.timestamp()) // 60)


@app.periodic(cron="*/10 * * * *", cron_name="slots", overlap="allow", once=True)
def slot() -> None:
    """Tell for which time this was due."""
    tell(f"slot {adjourn.current_task().eta}")
