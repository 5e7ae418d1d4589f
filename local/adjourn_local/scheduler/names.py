"""Resource names of Cloud Scheduler and the rules they obey."""

import re

import grpc

from adjourn_local.rpc import RpcError

_LOCATION = re.compile(r"projects/[A-Za-z0-9.:-]+/locations/[A-Za-z0-9-]+")
_JOB = re.compile(rf"({_LOCATION.pattern})/jobs/([A-Za-z0-9_-]{{1,500}})")


def invalid(message: str) -> RpcError:
    """Return the error for a request that can never succeed as it stands."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


def check_location(name: str) -> None:
    """Refuse what is not the name of a location.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    if not _LOCATION.fullmatch(name):
        raise invalid(
            f'Location name "{name}" must be formatted: '
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>".'
        )


def split(name: str) -> tuple[str, str]:
    """Return the location and the short id of a job's full name.

    Raises:
        RpcError: INVALID_ARGUMENT, in the words that the service uses.
    """
    match = _JOB.fullmatch(name)
    if match is None:
        raise invalid(
            "Job name must be formatted: "
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/<JOB_ID>".'
        )
    return match[1], match[2]
