"""What calls return, read through the running stack."""

import asyncio
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest

import adjourn
from tests.checkout import ROOT
from tests.e2e.application import app, total

pytestmark = pytest.mark.usefixtures("environment")
PRICES = (Decimal("9.90"), Decimal("0.10"))
FOUND = {"total": Decimal("10.00"), "mean": Decimal("5.00")}


def shown(*words: str) -> str:
    command = [sys.executable, "-m", "adjourn_local", "tasks", "show", *words]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_what_a_call_returned_is_read_by_its_handle_its_id_and_the_command_line() -> None:
    handle = total(*PRICES)

    assert handle.result(wait=30) == FOUND
    assert handle.id is not None
    assert app.results.get(handle.id) == FOUND
    assert asyncio.run(handle.aresult()) == FOUND
    assert "{'total': Decimal('10.00'), 'mean': Decimal('5.00')}" in shown(handle.id)
    record = json.loads(shown(handle.id, "--json"))
    assert (record["end"], record["value"]["total"]) == ("done", {"$decimal": "10.00"})


def test_why_a_call_returned_nothing_is_read_too() -> None:
    handle = total()

    with pytest.raises(adjourn.CallFailedError, match=r"tests\.e2e\.application\.total: "):
        asyncio.run(handle.aresult(wait=30))
    assert handle.id is not None
    assert "DivisionUndefined" in shown(handle.id)
    waiting = total.options(delay=3600).defer(*PRICES)
    with pytest.raises(adjourn.ResultNotReadyError):
        waiting.result()
    assert waiting.cancel()
    with pytest.raises(adjourn.CallCancelledError):
        waiting.result()
    assert waiting.id is not None
    assert app.results.find([handle.id, waiting.id, "unknown"])[2] is None
