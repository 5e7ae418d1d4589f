"""A copy of the checkout beside a shop, and `deploy.sh` in it, run as a person runs it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APP = "shop.tasks:app"
TASKS = """\
import adjourn
import datetime as dt
from shop import rates

app = adjourn.App()

@app.deferred(queue="mail")
def send() -> None: ...

@app.periodic(interval=dt.timedelta(hours=1), cron_name="nightly")
def sweep() -> None: ...
"""


def copy_checkout(folder: Path) -> Path:
    """Make a folder with a shop and what of the checkout is packaged; return the checkout."""
    checkout = folder / "adjourn"
    for name in ("shared/adjourn", "local/adjourn_local", "functions"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored, copy_function=shutil.copyfile)
    for name in ("deploy.sh", "requirements.txt"):
        shutil.copyfile(ROOT / name, checkout / name)
    shop = folder / "shop"
    shop.mkdir()
    (shop / "tasks.py").write_text(TASKS)
    (shop / "rates.py").touch()
    return checkout


def deploy(
    checkout: Path,
    *arguments: str,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    umask: int = 0o022,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run deploy.sh from the folder that holds the shop, if not told otherwise."""
    told = {"PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "", "TF_CLI_ARGS": "-no-color"}
    return subprocess.run(
        ["bash", str(checkout / "deploy.sh"), *arguments],
        cwd=cwd or checkout.parent,
        env={**os.environ, **told, **(environment or {})},
        stdin=stdin,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
