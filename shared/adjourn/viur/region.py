"""The region of App Engine, by the prefix of the application's id, as ViUR tells it."""

from __future__ import annotations

from collections.abc import Mapping

APPLICATION = "GAE_APPLICATION"

REGIONS: Mapping[str, str] = {"h": "europe-west3", "e": "europe-west1"}


def prefix(environ: Mapping[str, str]) -> str | None:
    """Return the prefix of the application's id, such as "h" of "h~my-shop"."""
    application = environ.get(APPLICATION)
    return application.split("~")[0] if application else None


def of(environ: Mapping[str, str]) -> str:
    """Return the region in which the application runs on App Engine, "" if the id does not tell."""
    return REGIONS.get(prefix(environ) or "", "")
