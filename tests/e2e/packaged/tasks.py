"""The application that is packaged and run; it needs a module, a file and a package of its own."""

import datetime as dt
import os
import socket
import sys
from pathlib import Path
from typing import Any

from cronsim import CronSim
from google.cloud import datastore

import adjourn

app = adjourn.App()

GREETING = Path(__file__).with_name("greeting.txt").read_text(encoding="utf-8").strip()


def tell(*words: object) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(" ".join(map(str, words)).encode(), os.environ["E2E_EAR"])


@app.deferred(queue="greetings")
def greet(name: str) -> None:
    tell(GREETING, name, __file__, adjourn.__file__, sys.prefix)


@app.periodic(interval=dt.timedelta(), cron_name="noon")
def strike() -> None:
    noon = next(CronSim("0 12 * * *", dt.datetime(2026, 3, 1, tzinfo=dt.UTC)))
    tell("ring" if noon.hour == 12 else noon)


@app.query_iter
class Count(adjourn.QueryIter[datastore.Entity]):
    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        custom_data["sum"] += entry["n"]

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        tell(f"{total_count} things, sum {custom_data['sum']}")
