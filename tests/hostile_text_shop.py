"""An application of which no other test has made the clients."""

import datetime as dt

import adjourn

app = adjourn.App()


@app.periodic(interval=dt.timedelta(hours=1))
def sweep() -> None: ...
