"""Composite indexes on a running stack: required, printed, compared with what is declared."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.api_core.exceptions import FailedPrecondition
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

from adjourn_local.cli import main
from adjourn_local.packaging.declared_indexes import declared
from tests.support import variables_of

YAML = """\
indexes:
- kind: Order
  properties:
  - name: customer
  - name: placed_at
    direction: desc
"""
OTHERS = "- kind: Old\n  properties:\n  - name: a\n  - name: b\n"
MISSING = "- kind: Order\n  ancestor: yes\n  properties:\n  - name: placed_at\n"


@contextmanager
def emulators(folder: Path, *options: str) -> Iterator[datastore.Client]:
    """Run `adjourn emulators` in a folder, and yield a client of its Datastore."""
    process = subprocess.Popen(
        [sys.executable, "-m", "adjourn_local", "emulators", "--port", "0", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "adjourn env" in line:
                break
        assert process.poll() is None, "".join(said)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables_of(process.pid, folder).items():
                patch.setenv(name, value)
            patch.chdir(folder)
            yield datastore.Client()
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()


def orders(client: datastore.Client, order: Sequence[str], **options: object) -> None:
    query = client.query(kind="Order", order=list(order), **options)
    if "ancestor" not in options:
        query.add_filter(filter=PropertyFilter("customer", "=", "ann"))
    list(query.fetch())


def test_what_is_not_declared_is_refused_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.yaml").write_text(YAML + OTHERS)
    with emulators(tmp_path, "--require-indexes", "index.yaml") as client:
        orders(client, ["-placed_at"])
        assert main(["indexes"]) == 0
        assert f"Declared, but never used:\n{OTHERS}" in capsys.readouterr().out

        with pytest.raises(FailedPrecondition) as refused:
            orders(client, ["placed_at"], ancestor=client.key("Shop", 1))
        assert refused.value.message == (
            f"no matching index found. recommended index is:\n{MISSING}"
        )

        assert main(["indexes"]) == 1
        said = capsys.readouterr().out
        assert f"Not declared:\n{MISSING}" in said
        assert "Composite indexes that queries have needed: 2\n" in said

    with emulators(tmp_path) as client:  # the state is kept, and now nothing is required
        orders(client, ["placed_at"], ancestor=client.key("Shop", 1))
        for form, name in (("--yaml", "printed.yaml"), ("--terraform", "printed.tfvars")):
            assert main(["indexes", form]) == 0
            (tmp_path / name).write_text(capsys.readouterr().out)
            assert len(declared([tmp_path / name])) == 2
            assert main(["indexes", "--declared", name]) == 0
            capsys.readouterr()
        assert main(["indexes", "--declared", "index.yaml", "--json"]) == 1
