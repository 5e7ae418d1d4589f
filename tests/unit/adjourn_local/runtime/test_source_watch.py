"""Which files are watched, and what becomes of their compiled code."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from adjourn_local.runtime.source_watch import SourceWatch, forget_compiled, source_folders


def test_the_folder_and_those_on_the_path_are_watched_but_not_what_is_installed(
    tmp_path, monkeypatch
):
    here, common = tmp_path / "here", tmp_path / "common"
    for folder in (here / "below", common):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    path = [str(common), str(here / "below"), str(here), sys.prefix, str(tmp_path / "none"), ""]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))

    assert list(source_folders(Path())) == [here, common]


def test_code_compiled_from_a_changed_file_is_removed(tmp_path):
    source = tmp_path / "shop.py"
    source.write_text("x = 1")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    compiled.parent.mkdir()
    compiled.touch()

    forget_compiled([source, tmp_path / "never.py"])

    assert not compiled.exists()


def test_every_change_is_reported_and_a_burst_together(tmp_path):
    names = {f"{number}.py" for number in range(30)}

    async def watched():
        (tmp_path / "below").mkdir()
        watch = SourceWatch([tmp_path])
        watch.start()
        for name in names:
            (tmp_path / "below" / name).touch()
        reports = []
        while set().union(*reports) < names:
            reports.append({path.name for path in await watch.changes()})
        watch.stop()
        return reports

    reports = asyncio.run(asyncio.wait_for(watched(), 30))

    assert set().union(*reports) == names
    assert len(reports) < 10


def test_a_folder_that_is_gone_is_said(tmp_path):
    async def watched():
        SourceWatch([tmp_path / "none"]).start()

    with pytest.raises(OSError, match="none"):
        asyncio.run(watched())
