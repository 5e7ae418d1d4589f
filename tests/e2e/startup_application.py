"""An application with startup tasks, which tell that they run."""

import os

import adjourn
from tests.e2e.application import tell

app = adjourn.App()


@app.startup_task
def warm() -> None:
    tell("warm")


@app.startup_task(once_per="revision")
def migrate() -> None:
    tell("migrate")


@app.startup_task(max_retries=0)
def broken() -> None:
    tell("broken")
    raise RuntimeError


@app.deferred
def say(word: str) -> None:
    tell(f"{word} in {os.getpid()}")
