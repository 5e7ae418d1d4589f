"""A web application that serves the functions itself, under WSGI and under ASGI."""

import asyncio
import datetime as dt
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import adjourn
import adjourn.web

app = adjourn.App()


def tell(word: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(word.encode(), os.environ["WEB_EAR"])


@app.deferred
def say(word: str) -> None:
    tell(f"{word} in attempt {adjourn.current_task().attempt}")


@app.deferred(max_retries=0)
def stumble() -> None:
    raise RuntimeError


@app.on_dead
def mourn(letter: adjourn.DeadLetter) -> None:
    tell(f"dead: {letter.error}")


meeting = asyncio.Condition()
present: list[str] = []


@app.deferred
async def meet(who: str, others: int) -> None:
    """Tell once all others are here, too, and whose calls are whose."""
    task = adjourn.current_task()
    async with meeting:
        present.append(who)
        meeting.notify_all()
        await meeting.wait_for(lambda: len(present) >= others)
    is_own = adjourn.current_task() is task
    await say.adefer(f"{who} {is_own} {asyncio.get_running_loop() is loops.get('serving')}")


loops: dict[str, asyncio.AbstractEventLoop] = {}


@app.periodic(interval=dt.timedelta(0), cron_name="bells")
def ring() -> None:
    tell("ring")


@app.startup_task
def begin() -> None:
    tell("begin")


@app.query_iter
class Count(adjourn.QueryIter[Any]):
    def handle_entry(self, entry: Any, custom_data: Any) -> None:
        pass

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        tell(f"{custom_data}: {total_count}")


@app.callable_task
class Greet(adjourn.CallableTask):
    key = "greet"

    def can_call(self, user: adjourn.User) -> bool:
        return user.email == "ann@shop.example"

    def execute(self, whom: str) -> None:
        tell(f"greetings to {whom}")


flask = Flask(__name__)
flask.wsgi_app = adjourn.web.wsgi(app, flask.wsgi_app)  # type: ignore[method-assign]


@flask.get("/")
def page() -> str:
    say("flask")
    return "a page"


async def starlette_page(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("a page")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    app.warm_up()
    loops["serving"] = asyncio.get_running_loop()
    yield


starlette = Starlette(
    routes=[Route("/", starlette_page), Mount("/_adjourn", adjourn.web.asgi(app))],
    lifespan=lifespan,
)
around = adjourn.web.asgi(
    app, Starlette(routes=[Route("/", starlette_page)], lifespan=lifespan), prefix="/_adjourn"
)
