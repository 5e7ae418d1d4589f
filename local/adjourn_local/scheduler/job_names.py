"""Resource names of Cloud Scheduler and the rules they obey."""

import re

from adjourn_local.http.resource_names import LOCATION, invalid

_JOB = re.compile(rf"({LOCATION})/jobs/([A-Za-z0-9_-]{{1,500}})")


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
