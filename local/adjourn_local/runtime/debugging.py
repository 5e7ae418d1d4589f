"""How a stack is debugged: in its terminal, in an editor, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Debugging:
    """What of a stack is debugged.

    Attributes:
        in_terminal: Whether breakpoints open pdb in the stack's terminal.
        port: The first of three ports at which debugpy listens, one for each function; 0 for none.
    """

    in_terminal: bool = False
    port: int = 0

    def __bool__(self) -> bool:
        return self.in_terminal or self.port > 0

    def environment(self) -> Mapping[str, str]:
        """Return the variables by which gunicorn serves one request after the other.

        debugpy warns of modules of Python itself that it cannot see into.
        """
        if not self:
            return {}
        return {"THREADS": "1", "WORKERS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

    def arguments(self, name: str, names: Sequence[str]) -> Sequence[str]:
        """Return the arguments of `follower` for one of the functions."""
        port = self.port + list(names).index(name) if self.port else 0
        return [str(int(self.in_terminal)), str(port)]


NOT_AT_ALL = Debugging()


def session_file(clock: Path) -> Path:
    """Return the file, beside that of the clock, with the process that has a debugger open."""
    return clock.with_name("debugger")
