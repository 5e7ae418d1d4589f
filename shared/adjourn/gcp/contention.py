"""Do again what met others, with pauses that grow and vary so that they do not meet once more."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from adjourn.errors import ConflictError, StoreError
from adjourn.gcp.connection import translated

T = TypeVar("T")

_ATTEMPTS = 6
_FIRST_PAUSE = 0.05


class Contention:
    """Repeats what Datastore has answered ABORTED.

    It does so to a transaction of which others have changed what it read, and, with the pessimistic
    locks that are its default, also to a plain write of what others' transactions have read
    (https://cloud.google.com/datastore/docs/concepts/transactions). Nothing was done then.

    Args:
        sleep: Waits for some seconds.
        jitter: Gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter

    def __call__(
        self, work: Callable[[], T], failure: type[ConflictError | StoreError] = StoreError
    ) -> T:
        """Return the result of some work, which is done six times at most.

        Raises:
            ConflictError: The work said so itself.
            StoreError: Datastore could not be reached or refused; or, as the failure that is given,
                others kept meeting it.
        """
        from google.api_core.exceptions import Aborted

        for attempt in range(_ATTEMPTS):
            self.pause(attempt)
            try:
                with translated():
                    return work()
            except ConflictError as error:
                if not isinstance(error.__cause__, Aborted):
                    raise
        raise failure(f"Datastore did not do it: it met others {_ATTEMPTS} times in a row.")

    def pause(self, attempt: int) -> None:
        """Wait before an attempt, of which 0 is the first and waits for nothing."""
        if attempt:
            self._sleep(_FIRST_PAUSE * 2**attempt * self._jitter())
