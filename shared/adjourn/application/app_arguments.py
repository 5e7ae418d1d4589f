"""Check what `App` is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.settings import Settings
from adjourn.tasks.arguments import is_lazy, misfitting


def check_settings(settings: object) -> None:
    """Refuse anything but settings.

    Raises:
        DeclarationError: It is something else; the message says what to write.
    """
    if isinstance(settings, str):
        raise DeclarationError(f"An application needs no name: write App() for App({settings!r}).")
    if settings is not None and not isinstance(settings, Settings):
        raise DeclarationError(
            f"settings={settings!r:.80} must be adjourn.settings.Settings(...). Write App() to have"
            " them read from the environment."
        )


def client_factory(datastore: Any) -> Callable[[], Any] | None:
    """Return what returns the application's Datastore client.

    Args:
        datastore: The client itself, or a function that returns it; None for none.

    Raises:
        DeclarationError: It is neither, or a class, each object of which has its own transactions.
    """
    if isinstance(datastore, type):
        raise DeclarationError(
            f"datastore={datastore.__qualname__} would make a new client for each call, which is in"
            " no transaction. Give the client that the application uses, or a function that returns"
            " it."
        )
    if datastore is None or (callable(datastore) and not is_lazy(datastore)):
        return datastore  # type: ignore[no-any-return]
    if not hasattr(datastore, "current_transaction"):
        raise DeclarationError(
            f"datastore={datastore!r:.80} is no client of Datastore. Give the client that the"
            " application uses, or a function that returns it."
        )
    return lambda: datastore


def check_context(user: object, language: object, environment: object) -> None:
    """Refuse what cannot tell the context of a call.

    Raises:
        DeclarationError: It cannot; the message says what to write.
    """
    for name, source in (("user", user), ("language", language)):
        if source is None:
            continue
        if not callable(source) or is_lazy(source) or misfitting(source):
            raise DeclarationError(
                f"{name}={source!r:.80} is not a function without arguments; write"
                f" {name}=lambda: ..., which returns that of the present request."
            )
    for method in ("serialize", "restore"):
        if environment is not None and not callable(getattr(environment, method, None)):
            raise DeclarationError(
                f"environment={environment!r:.80} has no method {method}; give an object with"
                " serialize() and restore(value)."
            )
