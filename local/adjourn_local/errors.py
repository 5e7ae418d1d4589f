"""What can keep the stack from running and an application from being packaged."""


class StackError(Exception):
    """The stack cannot start or go on; the message says why and what to do."""


class PackageError(Exception):
    """The application cannot be packaged or does not fit; the message says why and what to do."""
