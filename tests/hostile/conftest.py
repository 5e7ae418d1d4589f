from collections.abc import Iterator

import pytest

from tests.hostile.deployment import Deployment, deployed


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run the functions for all hostile requests."""
    with deployed(tmp_path_factory.mktemp("hostile")) as deployment:
        yield deployment
