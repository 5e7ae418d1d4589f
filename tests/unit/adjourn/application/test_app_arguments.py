"""`App` takes the application's Datastore client, or a function that returns it."""

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore

from adjourn.application.app_arguments import client_factory


def test_a_client_or_what_returns_it_is_taken():
    client = datastore.Client(project="shop", credentials=AnonymousCredentials())

    for given in (client, lambda: client):
        factory = client_factory(given)
        assert factory is not None
        assert factory() is client
    assert client_factory(None) is None


def test_a_function_is_not_called_before_it_is_needed():
    assert client_factory(lambda: pytest.fail("called")) is not None
