"""Client of a running stack's control endpoints: its clock and its faults."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from adjourn.errors import AdjournError
from adjourn_local.errors import UsageError

FAULTS_PATH = "/control/faults"
CLOCK_PATH = "/control/clock"
INDEXES_PATH = "/control/indexes"

_TIMEOUT = 10.0
_WRONG = 400


class ControlError(AdjournError):
    """No stack has answered; the message says what to do."""


@dataclass(frozen=True, slots=True)
class StackControl:
    """The control endpoints of the stack whose HTTP port is at `url`."""

    url: str

    def ask(self, path: str, method: str = "GET", text: str = "") -> Mapping[str, Any]:
        """Read or change a control, and return its state after that.

        Args:
            path: `CLOCK_PATH` or `FAULTS_PATH`, or `INDEXES_PATH`, which can only be read.
            method: GET to read, PUT to set to `text`, DELETE to reset.
            text: The new setting, such as `advance=4h`.

        Raises:
            UsageError: The stack has rejected the text; the message says what it accepts.
            ControlError: There is no stack at `url`.
        """
        request = urllib.request.Request(  # noqa: S310 - the caller has checked it
            f"{self.url}{path}", text.encode() if method == "PUT" else None, method=method
        )
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with without_proxy.open(request, timeout=_TIMEOUT) as response:
                state = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                reason = error.read().decode(errors="replace").strip()
            if error.code == _WRONG:
                raise UsageError(reason) from None
            raise self._no_stack() from None
        except (OSError, HTTPException, ValueError):
            raise self._no_stack() from None
        if not isinstance(state, dict):
            raise self._no_stack()
        return state

    def _no_stack(self) -> ControlError:
        return ControlError(
            f"No laptop stack answers at {self.url}; start it with `adjourn up`, or name its HTTP"
            " port with --url or by the variables that it prints."
        )
