"""The application that the console is tried with."""

import datetime as dt

from google.cloud.datastore import Entity

import adjourn

app = adjourn.App()

HOSTILE = "<script>alert(1)</script> \x1b[31m \u202e <img src=x onerror=alert(2)>"


@app.deferred(max_retries=0)
def fail(number: int) -> None:
    raise ValueError(f"{number} {HOSTILE}")


@app.deferred(max_retries=0)
def refuse(text: str) -> None:
    raise adjourn.PermanentTaskFailure(f"refused {len(text)} characters")


@app.periodic(interval=dt.timedelta(hours=4))
def sweep() -> None: ...


@app.periodic(cron="30 3 * * *", cron_name="nightly")
def report() -> None: ...


@app.query_iter
class Reprice(adjourn.QueryIter[Entity]):
    max_entry_retries = 0

    def handle_entry(self, entry: Entity, custom_data: object) -> None:  # noqa: ARG002
        if entry.get("is_bad"):
            raise adjourn.PermanentTaskFailure(f"{HOSTILE}")
