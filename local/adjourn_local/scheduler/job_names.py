"""Parse resource names of jobs, with the service's error messages."""

import re

from adjourn_local.http.resource_names import LOCATION, invalid

_JOB = re.compile(rf"({LOCATION})/jobs/([A-Za-z0-9_-]{{1,500}})")


def split_job(name: str) -> tuple[str, str]:
    """Split a job's full name into its location and its id.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    match = _JOB.fullmatch(name)
    if match is None:
        raise invalid(
            "Job name must be formatted: "
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/<JOB_ID>".'
        )
    return match[1], match[2]
