"""Serve the three functions inside a web application of your own, under WSGI or ASGI."""

from __future__ import annotations

from adjourn.web.asgi_server import asgi
from adjourn.web.wsgi_server import wsgi

__all__ = ["asgi", "wsgi"]
