"""A shop for the doctor."""

import datetime as dt

import adjourn

app = adjourn.App()


@app.deferred(queue="mail")
def send() -> None: ...


@app.periodic(interval=dt.timedelta(hours=1), cron_name="nightly")
def sweep() -> None: ...
