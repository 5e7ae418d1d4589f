"""How many files, and with them connections, this process may have open."""

import resource
from contextlib import suppress

_MANY = 1 << 16
# The most that macOS lets a process have, whatever its hard limit says.
_FEWER = 10_240


def allow_many() -> None:
    """Let this process have as many files open as it may, up to 65,536.

    Shells often allow 256 or 1,024. A server that runs out of them can accept nobody any more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for number in (_MANY, _FEWER):
        allowed = number if hard == resource.RLIM_INFINITY else min(number, hard)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
                return
