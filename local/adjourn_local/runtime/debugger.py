"""In a function's process: breakpoints in the terminal of `adjourn up`, and in editors."""

import asyncio
import fcntl
import importlib
import os
import pdb  # noqa: T100 - this is the debugger
import signal
import sys
import threading
import time
from bdb import BdbQuit
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType, TracebackType

from adjourn.concurrency import TimeLimits
from adjourn.coroutines import CoroutineRunner

_AGAIN = 0.5
_FREE = 10  # file descriptors below are taken when the socket is taken over


def take_time() -> None:
    """Let tasks take as long as their debugger does, and coroutines run where it is."""
    TimeLimits.limit = lambda *_: nullcontext()  # type: ignore[assignment,method-assign]
    CoroutineRunner.result = lambda _self, coroutine, *_: asyncio.run(coroutine)  # type: ignore[method-assign]


class Terminal:
    """The debugger pdb in the terminal in which the stack was started.

    Requests are served one after the other by the main thread, so there is one debugger at most.
    From a breakpoint to the end of its request, the application's standard output is the terminal,
    and Ctrl-C is the debugger's.

    Args:
        session: The file that holds the id of this process for so long, which the stack reads.
        stack: The id of the stack's process.
    """

    def __init__(self, session: Path, stack: int) -> None:
        self._session = session
        self._debugger = _Debugger(lambda: os.kill(stack, signal.SIGTERM))
        self._restore: list[Callable[[], object]] = []

    def open(self) -> None:
        """Have `breakpoint()` and `pdb.set_trace()` use the terminal.

        What is printed otherwise still goes to the stack.
        """
        piped = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, _FREE)
        # Only with the number of the standard output is a line that is typed edited by readline.
        os.dup2(0, 1)
        self._output = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stdout = os.fdopen(piped, "w", buffering=1)
        sys.breakpointhook = pdb.set_trace = self._break
        config = importlib.import_module("gunicorn.config")
        config.PostRequest.default = staticmethod(self._end)

    def _break(self, *args: object, **keywords: object) -> None:
        if not self._restore:
            self._begin()
        if os.environ.get("PYTHONBREAKPOINT"):
            sys.__breakpointhook__(*args, **keywords)  # noqa: T100 - as the user wants
        else:
            self._debugger.stdout = self._output
            self._debugger.begin(sys._getframe(1))  # noqa: SLF001 - as pdb finds its caller

    def _begin(self) -> None:
        interrupted, resized = map(signal.getsignal, (signal.SIGINT, signal.SIGWINCH))
        output = sys.stdout
        self._restore = [
            lambda: sys.settrace(None),
            lambda: signal.signal(signal.SIGINT, interrupted),
            lambda: signal.signal(signal.SIGWINCH, resized),
            lambda: setattr(sys, "stdout", output),
            lambda: self._session.write_text(""),
            self._debugger.end,
        ]
        signal.signal(signal.SIGINT, self._debugger.interrupt)
        signal.signal(signal.SIGWINCH, self._debugger.wake)
        sys.stdout = self._output
        self._session.write_text(str(os.getpid()))

    def _end(self, _worker: object, _request: object, _environ: object, _response: object) -> None:
        for restore in self._restore:
            restore()
        self._restore.clear()


class _Debugger(pdb.Pdb):
    """pdb for a task: it shows what the task has called, not what has called the task.

    Ctrl-C stops a program that runs, and twice at the prompt the stack.

    Args:
        stop: Stops the stack.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__(nosigint=True)
        self._stop = stop
        self._task: FrameType | None = None
        self._is_at_prompt = False
        self._is_interrupted = False
        self._is_raising = False

    def begin(self, frame: FrameType) -> None:
        """Open the debugger at a line of a task."""
        self._task = frame
        while self._task.f_back and not _is_own(self._task.f_back):
            self._task = self._task.f_back
        self.set_trace(frame)

    def end(self) -> None:
        """Forget the task, which has ended."""
        self._task = None

    def stop_here(self, frame: FrameType) -> bool:
        """Return whether to stop at a frame: only inside of the task."""
        return super().stop_here(frame) and any(each is self._task for each in _callers(frame))

    def get_stack(
        self, f: FrameType | None, t: TracebackType | None
    ) -> tuple[list[tuple[FrameType, int]], int]:
        """Return the frames from the task on, and the index of the present one."""
        stack, index = super().get_stack(f, t)
        first = next((n for n, (frame, _) in enumerate(stack) if frame is self._task), 0)
        return stack[first:], index - first

    def interrupt(self, _number: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C."""
        if self._is_at_prompt:
            self._is_raising = True
            raise KeyboardInterrupt
        self.message("\nInterrupted; `c` continues.")
        self.set_trace(frame)

    def wake(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal that follows Ctrl-C, which only has to wake readline up.

        When a handler has raised, `input` calls those of further signals before it lets the error
        out. If one of them returned then, Python would take that for an error of its own.
        """
        if self._is_raising:
            raise KeyboardInterrupt

    def cmdloop(self, intro: str | None = None) -> None:
        """Ask for commands until one lets the program go on."""
        self._is_at_prompt = True
        try:
            super().cmdloop(intro)
        except KeyboardInterrupt:
            self._is_raising = False
            if self._is_interrupted:
                self._stop()
                raise BdbQuit from None
            self._is_interrupted = True
            self.message("\nCtrl-C again stops the stack.")
            raise
        finally:
            self._is_at_prompt = False

    def precmd(self, line: str) -> str:
        """Note that something else than Ctrl-C was typed."""
        self._is_interrupted = False
        return super().precmd(line)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that have led to it."""
    while frame:
        yield frame
        frame = frame.f_back


def _is_own(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "adjourn"


def listen(port: int, name: str) -> None:
    """Have each worker wait for an editor with debugpy at a port of this machine.

    Args:
        port: The port.
        name: The function's name.
    """
    loader = os.getpid()

    def forked() -> None:
        if os.getppid() == loader and "functions_framework._http.gunicorn" in sys.modules:
            threading.Thread(target=_listen, args=(port, name), daemon=True).start()

    os.register_at_fork(after_in_child=forked)


def _listen(port: int, name: str) -> None:
    debugpy = importlib.import_module("debugpy")
    while True:
        # The worker before this one may still have the port.
        with suppress(RuntimeError):
            debugpy.listen(("127.0.0.1", port))
            print(f"An editor can debug the function {name} at 127.0.0.1:{port}.")  # noqa: T201
            return
        time.sleep(_AGAIN)
