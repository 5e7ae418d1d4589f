"""In a function's process: what `breakpoint()` does where nobody can type."""

import os
import sys


def skip_breakpoints() -> None:
    """Have `breakpoint()` say that it does nothing here, unless PYTHONBREAKPOINT is set."""
    if "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _skip


def _skip(*_args: object, **_keywords: object) -> None:
    frame = sys._getframe(1)  # noqa: SLF001 - as `breakpoint` itself finds its caller
    print(  # noqa: T201 - the stack shows it
        f"{frame.f_code.co_filename} line {frame.f_lineno}: breakpoint() does nothing here; start"
        " the stack with `adjourn up --debug`."
    )
