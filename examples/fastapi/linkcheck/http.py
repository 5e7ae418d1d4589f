"""The HTTP client of the process, which lives as long as the application does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx


class Http:
    """Holds the client while the application runs."""

    client: httpx.AsyncClient

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Have a client within the context."""
        async with httpx.AsyncClient(timeout=10) as self.client:
            yield


http = Http()
