"""Checks of methods and headers that HTTP and App Engine targets share."""

import re
from collections.abc import Iterable
from typing import Any

from google.cloud.tasks_v2.types import target as target_types

from adjourn_local.http.resource_names import invalid

MAX_URL = 2083
POST = int(target_types.HttpMethod.POST)
PUT = int(target_types.HttpMethod.PUT)
PATCH = int(target_types.HttpMethod.PATCH)
WITH_BODY = frozenset({POST, PUT, PATCH})

_MAX_HEADERS = 80 * 1024
_METHODS: Any = target_types.HttpMethod
_NUMBERS = frozenset(int(method) for method in _METHODS)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00\r\n]*")


def method_name(number: int) -> str:
    """Return the name of a method that has passed `check_method`; the default is POST."""
    name: str = _METHODS(number or POST).name
    return name


def check_method(message: str, number: int) -> None:
    """Refuse an unknown HTTP method.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    if number not in _NUMBERS:
        raise invalid(f"{message}.httpMethod is not a known method.")


def check_headers(message: str, headers: Iterable[tuple[str, str]]) -> int:
    """Refuse malformed headers, and return the size of all headers in bytes.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    size = 0
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise invalid(f"{message}.headers: {name!r} is not a valid header.")
        size += len(name.encode()) + len(value.encode())
    return size


def check_header_size(message: str, size: int) -> None:
    """Refuse headers that are larger than the limit of HTTP targets.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    if size >= _MAX_HEADERS:
        raise invalid(f"{message}.headers must be less than 80 KB in total.")
