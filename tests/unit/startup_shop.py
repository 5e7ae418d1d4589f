"""An application with a startup task, for tests in another process."""

import adjourn

app = adjourn.App()


@app.startup_task
def warm() -> None:
    """Do nothing."""
