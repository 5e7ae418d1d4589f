"""Finds what must not be deployed: secrets, data, and code that does not compile."""

import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from adjourn_local.errors import PackageError

_SUFFIXES: Mapping[str, str] = {
    **dict.fromkeys((".jks", ".key", ".keystore", ".p12", ".pfx", ".ppk"), "a key"),
    **dict.fromkeys((".tfplan", ".tfstate"), "state or plan of Terraform"),
    **dict.fromkeys((".db", ".db3", ".sqlite", ".sqlite3", ".mdb"), "a database"),
    **dict.fromkeys((".bak", ".dump", ".pgdump", ".rdb", ".sql"), "a dump of a database"),
}
_NAMES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"id_(rsa|dsa|ecdsa|ed25519)"), "a key"),
    (re.compile(r".*\.tfstate\..*"), "state or plan of Terraform"),
    (re.compile(r".*\.(sql|dump)\.(gz|bz2|xz|zst|zip)"), "a dump of a database"),
    (re.compile(r"(deferred|cron|queryiter)-[0-9a-f]{16}\.zip"), "output of adjourn package"),
    (re.compile(r"adjourn\.auto\.tfvars\.json"), "output of adjourn package"),
)
_CONTENTS: Sequence[tuple[re.Pattern[bytes], str]] = (
    (re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s:,-]{32}"), "a private key"),
    (re.compile(rb"\ASQLite format 3\x00"), "a database"),
)
_CREDENTIALS = {"service_account": "private_key", "authorized_user": "refresh_token"}
_OURS = "manifest.json"


def refuse(files: Mapping[str, bytes], allowed: Sequence[str]) -> None:
    """Check that no file is a secret or data, such as a key or a database.

    Args:
        files: The files to deploy, by name.
        allowed: Files and folders that the user wants to deploy nevertheless.

    Raises:
        PackageError: Some files are, or a name in `allowed` is not needed; the message lists them.
    """
    found = dict(_suspects(files))
    refused = {name: why for name, why in found.items() if not _covering(name, allowed)}
    idle = [each for each in allowed if not any(_covering(name, [each]) for name in found)]
    if refused:
        lines = [f"- {name}: {why}" for name, why in sorted(refused.items())]
        fix = "Move them out of the package, or add --allow PATH for each that you want to deploy:"
        raise PackageError("\n".join(["Some files should not be deployed.", fix, *lines]))
    if idle:
        raise PackageError(f"--allow {' '.join(idle)}: no such file would be refused; remove it.")


def compile_all(files: Mapping[str, bytes]) -> None:
    """Check that every Python file compiles, since the build in the cloud compiles all of them.

    Source: the buildpack for Python runs `python -m compileall` on the whole source.

    Raises:
        PackageError: Some files do not compile; the message lists them.
    """
    mistakes = list(_mistakes(files))
    if mistakes:
        version = ".".join(map(str, sys.version_info[:2]))
        fix = "Fix them, or leave them out: choose what to package with --include."
        first = f"The build compiles every file. Python {version} cannot compile these:"
        raise PackageError("\n".join([first, *mistakes, fix]))


def _suspects(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    ours = {folder for name in files if (folder := _packaged_folder(name, files))}
    for name, content in files.items():
        folder = next((each for each in ours if name.startswith(f"{each}/")), "")
        if folder:
            yield f"{folder}/", "output of adjourn package"
        elif why := _by_name(PurePosixPath(name)) or _by_content(name, content):
            yield name, why


def _packaged_folder(name: str, files: Mapping[str, bytes]) -> str:
    """Return the folder of a manifest that `adjourn package` wrote, else an empty string."""
    folder, _, base = name.rpartition("/")
    manifest = _json(files[name]) if base == _OURS and folder else None
    is_ours = isinstance(manifest, dict) and {"version", "app", "functions"} <= manifest.keys()
    return folder if is_ours else ""


def _by_name(path: PurePosixPath) -> str:
    name = path.name.lower()
    matching = (why for pattern, why in _NAMES if pattern.fullmatch(name))
    return _SUFFIXES.get(path.suffix.lower()) or next(matching, "")


def _by_content(name: str, content: bytes) -> str:
    for pattern, why in _CONTENTS:
        if pattern.search(content):
            return why
    value = _json(content) if name.endswith(".json") else None
    kind = value.get("type") if isinstance(value, dict) else None
    secret = _CREDENTIALS.get(kind) if isinstance(kind, str) else None
    is_secret = secret is not None and isinstance(value, dict) and secret in value
    return "credentials of Google Cloud" if is_secret else ""


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _covering(name: str, allowed: Sequence[str]) -> bool:
    wanted = (each.strip("/") for each in allowed)
    bare = name.rstrip("/")
    return any(bare == each or bare.startswith(f"{each}/") for each in wanted)


def _mistakes(files: Mapping[str, bytes]) -> Iterator[str]:
    for name, content in sorted(files.items()):
        if not name.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(content, name, "exec", dont_inherit=True)
        except SyntaxError as error:
            yield f"- {name}, line {error.lineno or 1}: {error.msg}"
        except ValueError as error:  # null bytes
            yield f"- {name}: {error}"
