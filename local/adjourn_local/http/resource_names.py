"""Checks of resource names of projects and locations, with the services' error messages."""

import re

import grpc

from adjourn_local.http.rpc import RpcError

PROJECT = r"projects/[A-Za-z0-9.:-]+"
LOCATION = rf"{PROJECT}/locations/[A-Za-z0-9-]+"

_PROJECT = re.compile(PROJECT)
_LOCATION = re.compile(LOCATION)


def invalid(message: str) -> RpcError:
    """Return an INVALID_ARGUMENT error."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


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
