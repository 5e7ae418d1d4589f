"""Ask a running stack for its clock and faults, and change them, over its HTTP port."""

import argparse
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from adjourn.errors import AdjournError
from adjourn.settings import LOOPBACK, is_safe_url
from adjourn_local.commands.arguments import UsageError

_DEFAULT = "http://127.0.0.1:8711"
_TIMEOUT = 10.0
_WRONG = 400


class ControlError(AdjournError):
    """No stack has answered; the message says what to do."""


def add_stack(parser: argparse.ArgumentParser) -> None:
    """Let a command take `--url` and `--json`."""
    parser.add_argument(
        "--url",
        help=f"the stack's HTTP port (default: that of ADJOURN_KEYS_URL, else {_DEFAULT})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def controls(options: argparse.Namespace) -> "Controls":
    """Return those of the stack that the options or the environment name.

    Raises:
        UsageError: It is no laptop stack's address.
    """
    url = options.url or os.environ.get("ADJOURN_KEYS_URL") or _DEFAULT
    parts = urlsplit(url) if is_safe_url(url) else None
    if parts is None or parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise UsageError(f"{url} is not the address of a laptop stack, such as {_DEFAULT}.")
    return Controls(f"{parts.scheme}://{parts.netloc}")


@dataclass(frozen=True, slots=True)
class Controls:
    """What can be changed of the stack whose HTTP port is at an address."""

    url: str

    def ask(self, path: str, method: str = "GET", text: str = "") -> Mapping[str, Any]:
        """Return what is the case, after a change if it is one.

        Args:
            path: What is asked for: `CLOCK_PATH` or `FAULTS_PATH`.
            method: GET to look, PUT to change it to `text`, DELETE to set it back.
            text: What the stack reads, such as `advance=4h`.

        Raises:
            UsageError: The stack cannot read the text; the message says what it can.
            ControlError: There is no stack.
        """
        request = urllib.request.Request(  # noqa: S310 - the caller has checked it
            f"{self.url}{path}", text.encode() if method == "PUT" else None, method=method
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=_TIMEOUT) as answer:
                told = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace").strip()
            if error.code == _WRONG:
                raise UsageError(said) from None
            raise self._no_stack() from None
        except (OSError, HTTPException, ValueError):
            raise self._no_stack() from None
        if not isinstance(told, dict):
            raise self._no_stack()
        return told

    def _no_stack(self) -> ControlError:
        return ControlError(
            f"No laptop stack answers at {self.url}; start it with `adjourn up`, or name its HTTP"
            " port with --url or by the variables that it prints."
        )
