"""What the link checker does outside of requests."""

import asyncio

import httpx

import adjourn
from linkcheck.http import http
from linkcheck.store import store

app = adjourn.App()


@app.deferred(queue="links", max_retries=3, timeout=30)
async def check(page: str, link: str) -> None:
    """Look at a link; hundreds of these wait side by side, on the server's loop."""
    try:
        status = (await http.client.head(link)).status_code
    except httpx.TransportError:
        if not adjourn.current_task().is_last_attempt:
            raise  # and look again later
        status = 0
    await asyncio.to_thread(store().save, page, link, status)
