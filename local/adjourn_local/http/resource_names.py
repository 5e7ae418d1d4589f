"""Checks of resource names of projects and locations, with the services' error messages."""

import re
from typing import Any

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from adjourn_local.http.rpc import RpcError

PROJECT = r"projects/[A-Za-z0-9.:-]+"
LOCATION = rf"{PROJECT}/locations/[A-Za-z0-9-]+"

_PROJECT = re.compile(PROJECT)
_LOCATION = re.compile(LOCATION)


def invalid(message: str, *details: Any) -> RpcError:
    """Return an INVALID_ARGUMENT error."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message, *details)


def help_link(description: str, url: str) -> Any:
    """Return the detail of an error that links to a page."""
    return error_details_pb2.Help(links=[{"description": description, "url": url}])


def check_project(name: str) -> None:
    """Refuse a name that is not `projects/PROJECT`.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    if not _PROJECT.fullmatch(name):
        raise invalid(f'Project name "{name}" must be formatted: "projects/<PROJECT_ID>".')


def check_location(name: str) -> None:
    """Refuse a name that is not `projects/PROJECT/locations/LOCATION`.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    if not _LOCATION.fullmatch(name):
        raise invalid(
            f'Location name "{name}" must be formatted: '
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>".'
        )
