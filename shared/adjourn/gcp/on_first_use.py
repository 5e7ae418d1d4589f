"""Adapters that are made on first use: a process imports only those that it needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


def on_first_use(make: Callable[[], T]) -> T:
    """Return what stands for an adapter, which is made when one of its methods is first needed.

    Args:
        make: Makes the adapter; it is called once, whichever threads use it.
    """
    return cast(T, _OnFirstUse(make))


class _OnFirstUse:
    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._adapter: object = None

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what copies and the like look for
            raise AttributeError(name)
        with self._lock:
            if self._adapter is None:
                self._adapter = self._make()
        method: object = getattr(self._adapter, name)
        setattr(self, name, method)  # found without this from now on
        return method
