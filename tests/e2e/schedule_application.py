"""An application whose schedules are put on the command line."""

import adjourn

app = adjourn.App()
app.schedules.serve()


@app.deferred(name="report")
def report(tenant: int, *, language: str = "en") -> None:
    """Do nothing: no test lets it run."""
