"""Files and folders that only their owner can use, whatever the umask is."""

import os
from pathlib import Path

_FILE = 0o600
_FOLDER = 0o700


def make_private(path: Path, *, create: bool = True) -> None:
    """Let only its owner read and write a file; create it if it is missing, or leave it missing.

    Raises:
        OSError: It cannot be created, or belongs to somebody else.
    """
    if create:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, _FILE))
    if path.exists():
        _restrict(path, _FILE)


def make_private_folder(path: Path) -> None:
    """Let only its owner use a folder; create it if it is missing.

    Raises:
        OSError: It cannot be created, is no folder, or belongs to somebody else.
    """
    path.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
    _restrict(path, _FOLDER)


def _restrict(path: Path, mode: int) -> None:
    # On a file system without permissions, such as some mounted folders, nothing would change.
    if path.stat().st_mode & 0o777 & ~mode:
        path.chmod(mode)
