"""Build the folders and zips that are deployed; the same input always gives the same bytes."""

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adjourn_local.deployed import LIBRARY, REQUIREMENTS, main_file
from adjourn_local.errors import PackageError
from adjourn_local.packaging import inspection, requirements
from adjourn_local.runtime.function_programs import NAMES

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1

_LIBRARY = LIBRARY.name
_FOR_TESTS = f"{_LIBRARY}/testing/"
_RESERVED = {_LIBRARY, "main.py", "requirements.txt"}
_APP = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):[^\W\d]\w*")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip
_UNIX = 3
_PLAIN_FILE = 0o100644 << 16
_NAMED_BY = 16

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The user's code to deploy.

    Attributes:
        spec: `package.module:app`.
        source: The folder from which the application is imported.
        include: Folders and files to include, relative to `source`; if empty, the application's
            top-level package or module.
        pinned: File of its pinned requirements; None if it needs only adjourn's.
        allow: Files and folders to include although they look like secrets or data.
        is_hashed: Whether every requirement must have a hash; if not, none is written.
    """

    spec: str
    source: Path
    include: Sequence[str] = ()
    pinned: Path | None = None
    allow: Sequence[str] = ()
    is_hashed: bool = True


@dataclass(frozen=True, slots=True)
class Bundle:
    """One function to deploy: its files, and the zip of them."""

    name: str
    files: Files
    zipped: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the zip, which depends on the names and contents of its files only."""
        return hashlib.sha256(self.zipped).hexdigest()

    @property
    def zip_name(self) -> str:
        """Name of the zip, which changes with the content."""
        return f"{self.name}-{self.sha256[:_NAMED_BY]}.zip"


def bundles(application: Application) -> Sequence[Bundle]:
    """Build the three functions with the application, without writing anything.

    Raises:
        PackageError: A file is missing or must not be deployed, or files or requirements conflict.
    """
    users = _users(application)
    inspection.refuse(users, application.allow)
    inspection.compile_all(users)
    files = {**_library(), **users, "requirements.txt": _pins(application).encode()}
    found = []
    for name in NAMES:
        content = {**files, "main.py": main_file(name).read_bytes()}
        found.append(Bundle(name, content, _zip(content)))
    return found


def manifest(spec: str, found: Sequence[Bundle]) -> str:
    """Return the text of the manifest, which Terraform reads."""
    functions = {
        each.name: {"zip": each.zip_name, "sha256": each.sha256, "entry_point": each.name}
        for each in found
    }
    content = {"version": MANIFEST_VERSION, "app": spec, "functions": functions}
    return json.dumps(content, indent=2) + "\n"


def write(output: Path, spec: str, found: Sequence[Bundle]) -> None:
    """Write the staged folders, the zips and finally the manifest; replace those of earlier runs.

    Raises:
        PackageError: A folder of the same name was not written by this function.
    """
    staged = [output / each.name for each in found]
    for folder in staged:
        if folder.exists() and not (folder / _LIBRARY).is_dir():
            raise PackageError(f"{folder} exists and is not a package; choose another --output.")
    output.mkdir(parents=True, exist_ok=True)
    for folder, bundle in zip(staged, found, strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in bundle.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        for old in output.glob(f"{bundle.name}-{'[0-9a-f]' * _NAMED_BY}.zip"):
            old.unlink()
        (output / bundle.zip_name).write_bytes(bundle.zipped)
    (output / MANIFEST).write_text(manifest(spec, found), encoding="utf-8")


def _library() -> Files:
    paths = (path for path in LIBRARY.rglob("*") if path.suffix in {".py", ".typed"})
    named = {path.relative_to(LIBRARY.parent).as_posix(): path for path in paths}
    return {n: path.read_bytes() for n, path in named.items() if not n.startswith(_FOR_TESTS)}


def _users(application: Application) -> Files:
    match = _APP.fullmatch(application.spec)
    if not match:
        raise PackageError(f"The application {application.spec!r} must be package.module:app.")
    source = application.source.resolve()
    files: dict[str, bytes] = {}
    for path in _included(application, source, match["module"].partition(".")[0]):
        files |= {name: item.read_bytes() for name, item in _named(path, source)}
    if taken := sorted({name.partition("/")[0] for name in files} & _RESERVED):
        raise PackageError(
            f"The application's {', '.join(taken)} would replace adjourn's; rename it, or choose"
            " what to package with --include."
        )
    module = match["module"].replace(".", "/")
    if not {f"{module}.py", f"{module}/__init__.py"} & files.keys():
        raise PackageError(
            f"There is no {module}.py in what is packaged of {source}; name the folder that holds"
            " the application with --source, and what to take of it with --include."
        )
    return files


def _included(application: Application, source: Path, top: str) -> Iterator[Path]:
    """Yield the included folders and files; by default the application's package or module."""
    if not source.is_dir():
        raise PackageError(f"There is no folder {source}.")
    if not application.include:
        yield source / top if (source / top).is_dir() else source / f"{top}.py"
    for each in application.include:
        path = Path(os.path.normpath(source / each))
        if not path.is_relative_to(source) or not path.exists():
            raise PackageError(f"There is no {each!r} in {source}.")
        yield path


def _named(path: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file under a path with its name in the zip, which is the same in any locale."""
    for item in _files(path):
        try:
            name = os.fsencode(item.relative_to(root)).decode()
        except UnicodeDecodeError:
            raise PackageError(f"The name of {str(item)!r} is not UTF-8; rename it.") from None
        yield name.replace(os.sep, "/"), item


def _files(path: Path) -> Iterator[Path]:
    """Yield the files of a folder, without hidden files, caches and virtual environments."""
    if path.is_symlink() or not (path.is_dir() or path.is_file() or not path.exists()):
        raise PackageError(f"{path} is a link or not a regular file; package its target instead.")
    if path.is_file():
        yield path
    elif path.is_dir() and not (path / "pyvenv.cfg").exists():
        for item in path.iterdir():
            is_cache = item.name == "__pycache__" or item.suffix == ".pyc"
            if not is_cache and not item.name.startswith("."):
                yield from _files(item)


def _pins(application: Application) -> str:
    ours = requirements.read(REQUIREMENTS)
    if application.pinned is None:
        return requirements.render(ours)
    theirs = requirements.read(application.pinned)
    merged = requirements.merge(ours, theirs, where=application.pinned)
    if application.is_hashed:
        requirements.need_hashes(theirs, where=application.pinned)
    return requirements.render(merged, is_hashed=application.is_hashed)


def _zip(files: Files) -> bytes:
    """Return a zip whose bytes depend on names and contents alone.

    The files are not compressed, because the result would depend on the version of zlib.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = _PLAIN_FILE
            archive.writestr(info, files[name])
    return buffer.getvalue()
