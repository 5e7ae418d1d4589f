"""Change where the requests of tasks and jobs go when a state is used with other ports."""

from collections.abc import Mapping
from typing import Any


def move(request: Any, url_field: str, bases: Mapping[str, str]) -> bool:
    """Change the URL of an HTTP request, and the audience of its token with it.

    Args:
        request: The message, which is changed.
        url_field: The field with the URL.
        bases: The new base URL for each former one.

    Returns:
        Whether anything was changed.
    """
    url: str = getattr(request, url_field)
    base = "/".join(url.split("/", 3)[:3])
    if base not in bases:
        return False
    setattr(request, url_field, bases[base] + url.removeprefix(base))
    if request.HasField("oidc_token"):
        audience = request.oidc_token.audience
        request.oidc_token.audience = bases.get(audience, audience)
    return True
