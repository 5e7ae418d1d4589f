"""The link checker's web application, which also serves adjourn's functions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException

import adjourn
import adjourn.log
import adjourn.web
from linkcheck.http import http
from linkcheck.store import Store, store
from linkcheck.tasks import app, check


@asynccontextmanager
async def lifespan(_web: FastAPI) -> AsyncIterator[None]:
    """Open what requests and tasks share, before the first of them comes."""
    adjourn.log.configure()
    app.warm_up()
    async with http.opened():
        yield


web = FastAPI(lifespan=lifespan)
web.mount("/_adjourn", adjourn.web.asgi(app))


@web.put("/pages/{page}", status_code=202)
async def hand_in(page: str, links: list[str]) -> dict[str, int]:
    """Take the links of a page; they are looked at after the answer."""
    results = [each async for each in check.amap([page] * len(links), links)]
    if failed := [each for each in results if not isinstance(each, adjourn.TaskHandle)]:
        # Whoever asks again has some links looked at twice, and none not at all.
        raise HTTPException(503, f"{len(failed)} links could not be enqueued: {failed[0]}")
    return {"enqueued": len(results)}


# Not async: FastAPI lets the query wait in a thread.
@web.get("/pages/{page}")
def results(page: str, kept: Annotated[Store, Depends(store)]) -> dict[str, int]:
    """Show the links that were looked at."""
    return kept.results(page)
