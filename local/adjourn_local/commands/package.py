"""The command `adjourn package`: build the zips to deploy."""

import argparse
from pathlib import Path

from adjourn_local.commands import Add
from adjourn_local.commands.application import locate
from adjourn_local.commands.arguments import add_application
from adjourn_local.commands.output import say
from adjourn_local.errors import PackageError
from adjourn_local.packaging.bundle import Application, bundles, write


def add(add: Add) -> None:
    """Declare the command and its options."""
    package = add("package", help="build the zips of the functions with an application")
    add_application(package)
    package.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATH",
        help="a folder or file to include, relative to --source; may be repeated"
        " (default: the application's top-level package or module)",
    )
    package.add_argument(
        "--requirements",
        type=Path,
        metavar="FILE",
        help="the application's pinned requirements (default: requirements.txt in --source)",
    )
    package.add_argument(
        "--without-hashes",
        action="store_true",
        help="package requirements without hashes, if some of the application's have none",
    )
    package.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder, relative to --source, to take although it looks like a secret or"
        " like data; may be repeated",
    )
    package.add_argument(
        "--output",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="folder for the result (default: %(default)s)",
    )
    package.add_argument("--dry-run", action="store_true", help="write nothing")
    package.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build the package, print the zips, and return the exit status.

    Raises:
        PackageError: The application cannot be packaged.
    """
    spec, source = locate(options.app, options.source)
    application = Application(
        spec=spec,
        source=source,
        include=options.include,
        pinned=options.requirements or _default_requirements(source),
        allow=options.allow,
        is_hashed=not options.without_hashes,
    )
    try:
        found = bundles(application)
        if not options.dry_run:
            write(options.output, spec, found)
    except OSError as error:
        raise PackageError(f"{error.filename}: {error.strerror}.") from None
    for bundle in found:
        size = f"{len(bundle.files)} files, {len(bundle.zipped):,} bytes"
        say(f"{options.output / bundle.zip_name}  ({size})")
    return 0


def _default_requirements(source: Path) -> Path | None:
    path = source / "requirements.txt"
    return path if path.is_file() else None
