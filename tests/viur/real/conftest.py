"""Tests that import ViUR itself; elsewhere they are left out, `test_generations.py` runs them."""

import importlib.util
import os

import pytest

collect_ignore_glob = []
if importlib.util.find_spec("viur") is None:
    collect_ignore_glob = ["*"]
else:
    from tests.viur.real import world

    world.prepare(os.environ)

    from tests.viur.real.fixtures import *  # noqa: F403 - fixtures are found by their names

    @pytest.fixture(autouse=True)
    def _clean_environment():
        """Leave the environment as it is: it leads ViUR, once it is imported, to the stack."""

    @pytest.fixture(autouse=True, scope="module")
    def _clean_environment_of_module():
        """Leave it as it is here as well."""
