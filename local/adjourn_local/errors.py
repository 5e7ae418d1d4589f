"""Errors of the laptop stack, of packaging and of the command line."""


class StackError(Exception):
    """The stack cannot start or continue; the message says why and what to do."""


class StorageError(StackError):
    """The state cannot be read or written now, such as on a full disk; nothing was stored."""


class PackageError(Exception):
    """The application cannot be packaged, or does not fit; the message says why and what to do."""


class UsageError(Exception):
    """The command was called wrongly; the message says how to call it."""
