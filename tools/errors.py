"""What is raised by the tools."""


class ReleaseError(Exception):
    """A release cannot be made; the message says why and what to do."""
