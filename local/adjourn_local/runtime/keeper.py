"""A small process that outlives the stack by a moment and stops whatever it left running.

The stack writes the process groups of its children to this program's input. When the input ends,
for whatever reason, each group that is still there is told to stop: so not even a killed stack
leaves a function running on its port.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

PATIENCE = 10.0


def keep(lines: Iterable[str]) -> None:
    """Wait until `lines` end, then stop the process groups that they named and did not take back.

    A line is a process group, with a minus in front when it has ended by itself.
    """
    groups: set[int] = set()
    for line in lines:
        group = int(line)
        if group > 0:
            groups.add(group)
        else:
            groups.discard(-group)
    for stop in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + PATIENCE
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, stop)
        while groups and time.monotonic() < end:
            groups = {group for group in groups if _is_running(group)}
            time.sleep(0.05)


def _is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches this process too; it ends when the stack's pipe does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep(sys.stdin)
