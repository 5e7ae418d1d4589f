"""The gate of the laptop stack: it lets programs of this machine in, and keeps web pages out.

Any page in a browser can send requests to this machine. But a browser says where a page is from
(Origin, Sec-Fetch-Site) and which name its address has (Host), so that a foreign name that resolves
to this machine shows (DNS rebinding). And it asks for permission (CORS) before it sends a body with
a content type other than those of forms; nothing here ever gives that permission.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from adjourn.settings import LOOPBACK

API_TYPES = frozenset({"application/json", "application/x-protobuf"})
FORM = "application/x-www-form-urlencoded"
ANY_TYPE: frozenset[str] = frozenset()

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
# https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header; "none" is a person, who typed the
# address. Programs and old browsers send nothing.
_OWN_SITES = {"", "none", "same-origin"}
_MARK = "adjourn_accepted_types"

H = TypeVar("H", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """What the gate looks at; a header that is missing is an empty text.

    Attributes:
        host: The header Host; if there are several, joined by commas.
        origin: The header Origin.
        site: The header Sec-Fetch-Site.
        content_type: The header Content-Type; None for a request without a body.
    """

    host: str
    origin: str
    site: str
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, with the HTTP status to answer."""

    status: int
    text: str


def refusal(
    head: RequestHead, allowed_hosts: Collection[str], accepted: Collection[str] = API_TYPES
) -> Refusal | None:
    """Return why a request is refused, or None.

    Args:
        head: What the request says about itself.
        allowed_hosts: Further host names, in small letters, under which this machine is known.
        accepted: The content types that the route accepts; `ANY_TYPE` for all.
    """
    name = host_name(head.host)
    if name is None or name not in LOOPBACK | {*allowed_hosts}:
        return Refusal(403, _wrong_host(head.host, name))
    if head.origin not in {"", f"http://{head.host}"}:
        return Refusal(403, f"Web pages of {head.origin} may not use the laptop stack.")
    if head.site not in _OWN_SITES:
        return Refusal(403, f"Web pages of others may not use the laptop stack ({head.site}).")
    # A browser says where a page is from; a program, such as ViUR's client, may leave out the type.
    is_untyped_program = head.content_type == "" and not head.origin and not head.site
    has_type = head.content_type is not None and not is_untyped_program
    if accepted and has_type and _essence(head.content_type or "") not in accepted:
        wanted = " or ".join(sorted(accepted))
        return Refusal(415, f"The content type of the body must be {wanted}.")
    return None


def host_name(authority: str) -> str | None:
    """Return the name in `host` or `host:port`, in small letters and without brackets, or None."""
    match = _AUTHORITY.fullmatch(authority)
    return (match[1] or match[2]).lower() if match else None


def accepting(*content_types: str) -> Callable[[H], H]:
    """Return a decorator that lets other content types in to a handler; none means any.

    The other checks of the gate hold for every handler.
    """

    def widen(handler: H) -> H:
        setattr(handler, _MARK, frozenset(content_types))
        return handler

    return widen


def accepted_by(handler: object) -> Collection[str]:
    """Return the content types that a handler accepts."""
    types: Collection[str] = getattr(handler, _MARK, API_TYPES)
    return types


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _wrong_host(host: str, name: str | None) -> str:
    if name is None:
        return f"The header Host must name this machine once, such as localhost:8711, not {host!r}."
    return (
        f"The laptop stack is not known as {host}. If this name is yours, allow it with"
        f" `adjourn up --allow-host {name}`."
    )
