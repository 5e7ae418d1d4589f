"""Watch an application's source files, and report the changes of a burst together."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from watchdog import events
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

# A burst has ended after so many seconds without a change, or when it has taken so long.
_QUIET = 0.06
_LONGEST_BURST = 1.0
_IGNORED = {"__pycache__", "node_modules", "site-packages", "venv"}
# Not that files are opened or read. Some versions of watchdog do not tell changes of attributes,
# such as those of `touch`, from changes of the content.
_EVENTS = [
    getattr(events, f"{kind}Event")
    for kind in (
        *("FileCreated", "FileModified", "FileAttrib", "FileClosed", "FileMoved", "FileDeleted"),
        *("DirCreated", "DirMoved"),
    )
    if hasattr(events, f"{kind}Event")
]


class SourceWatch:
    """Watches the Python files of folders; use it on the event loop that created it.

    Not watched are virtual environments, caches, hidden files and folders, and installed packages.

    Args:
        folders: The folders, with all that is below.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._loop = asyncio.get_running_loop()
        self._folders = [folder.resolve() for folder in folders]
        self._observer = Observer()
        self._changed: set[Path] = set()
        self._is_changed = asyncio.Event()

    def start(self) -> None:
        """Begin to watch; it may take a moment and may be called in another thread.

        Raises:
            OSError: The system does not watch so many folders.
        """
        for folder in self._folders:
            self._watch(folder, is_top=True)
            for each in folder.iterdir():
                if each.is_dir():
                    self._watch(each)
        self._observer.start()

    def stop(self) -> None:
        """Stop watching."""
        if self._observer.is_alive():
            self._observer.stop()

    async def changes(self) -> Iterable[Path]:
        """Wait for changes; return the changed files once no more come."""
        await self._is_changed.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_BURST):
                while True:
                    self._is_changed.clear()
                    async with asyncio.timeout(_QUIET):
                        await self._is_changed.wait()
        changed, self._changed = self._changed, set()
        self._is_changed.clear()
        return changed

    def _watch(self, folder: Path, *, is_top: bool = False) -> None:
        """Watch a folder, and but for the top ones all that is below it.

        So folders that are ignored, which may be large, are not even looked at.
        """
        if is_top or not _is_ignored(folder):
            handler = _Handler(self, folder)
            self._observer.schedule(
                handler, str(folder), recursive=not is_top, event_filter=_EVENTS
            )

    def note(self, folder: Path, event: FileSystemEvent) -> None:
        """Note an event below a watched folder; called in a thread of the observer."""
        for path in (Path(os.fsdecode(text)) for text in (event.src_path, event.dest_path) if text):
            with suppress(RuntimeError):  # the loop may have been closed
                if event.is_directory:
                    self._loop.call_soon_threadsafe(self._note_folder, folder, path)
                elif path.suffix == ".py" and not _is_ignored_below(folder, path):
                    self._loop.call_soon_threadsafe(self._note, path)

    def _note(self, path: Path) -> None:
        self._changed.add(path)
        self._is_changed.set()

    def _note_folder(self, parent: Path, folder: Path) -> None:
        """Note a new folder; below the top ones, it is not watched yet."""
        if parent not in self._folders or folder.parent != parent:
            return
        with suppress(OSError):  # it may be gone again
            self._watch(folder)
            for path in folder.rglob("*.py"):
                self._note(path)


class _Handler(FileSystemEventHandler):
    """Passes the events below one folder on."""

    def __init__(self, watch: SourceWatch, folder: Path) -> None:
        self._watch = watch
        self._folder = folder

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._watch.note(self._folder, event)


def source_folders(source: Path) -> Iterator[Path]:
    """Yield the folders from which functions import an application: its own and PYTHONPATH's."""
    source = source.resolve()
    yield source
    installed = Path(sys.prefix)
    for text in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        folder = Path(text).resolve()
        inside = folder.is_relative_to(source) or folder.is_relative_to(installed)
        if folder.is_dir() and not inside and not _is_ignored(folder):
            yield folder


def forget_compiled(sources: Iterable[Path]) -> None:
    """Remove the compiled code of source files.

    Python takes it for that of another version of the same size that was written in the same
    second.
    """
    for source in sources:
        with suppress(OSError, NotImplementedError):
            Path(importlib.util.cache_from_source(str(source))).unlink()


def _is_ignored(folder: Path) -> bool:
    return _is_hidden(folder.name) or (folder / "pyvenv.cfg").exists()


def _is_ignored_below(folder: Path, path: Path) -> bool:
    return any(_is_hidden(part) for part in path.relative_to(folder).parts)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED
