"""Models of pydantic and classes of attrs travel through the running stack."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from adjourn.ports import NewTask, Target
from tests.e2e.application import Invoice, Part, app, bill
from tests.e2e.conftest import Ear, Log

pytestmark = pytest.mark.usefixtures("environment")
INVOICE = Invoice(number=7, parts=[Part("A-1", Decimal("9.90"))], due=dt.date(2026, 12, 1))


def test_a_model_arrives_and_returns_as_it_was(ear: Ear) -> None:
    handle = bill(INVOICE)

    assert handle.result(wait=30) == INVOICE
    assert ear.hear() == repr(INVOICE)


def test_a_body_that_does_not_validate_is_a_dead_letter(ear: Ear, log: Log) -> None:
    handle = bill.options(delay=3600).defer(INVOICE)
    enqueuer = app.wiring().enqueuer
    codec = enqueuer.codec
    forged = json.loads(enqueuer.envelope(bill, (INVOICE,), {}).encode(codec))
    forged["args"][0]["$:tests.e2e.application.Invoice"]["number"] = -5
    handle.cancel()
    name = f"forged{forged['id']}"
    body = json.dumps(forged).encode()
    task = NewTask(target=Target.DEFERRED, label="forged", queue="default", body=body, name=name)
    enqueuer.adapters.queue.enqueue(task)

    line = log.find("task.dead", "number: greater_than")
    assert "-5" not in json.loads(line.partition(" ")[2])["message"]
    bill(INVOICE)
    assert ear.hear() == repr(INVOICE)  # and nothing before it
