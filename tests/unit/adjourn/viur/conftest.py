from collections.abc import Iterator
from typing import Any

import pytest

from adjourn.testing import Sandbox, sandbox
from tests import viur_shop as shop
from tests.viur_notes import notes


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """Give the sample application an outside world in memory."""
    with sandbox(shop.app) as made:
        yield made


@pytest.fixture(autouse=True)
def noted() -> list[Any]:
    """Return what the sample application noted since the test began."""
    notes.clear()
    return notes
