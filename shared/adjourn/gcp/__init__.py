"""The adapters to Google Cloud: the only modules that import google or grpc, on first use."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from typing import Any

from adjourn.clock import SystemClock
from adjourn.concurrency import PerProcess
from adjourn.gcp.on_first_use import on_first_use
from adjourn.ports import (
    Adapters,
    ApplicationTransactions,
    EntityStore,
    JobScheduler,
    QuerySource,
    TaskQueue,
    TokenVerifier,
)
from adjourn.settings import Platform, Settings

UsersClient = Callable[[], Any] | None
"""Returns the application's own Datastore client; None if it has none."""


def google_adapters(settings: Settings, users_client: UsersClient) -> Adapters:
    """Return the adapters for the services of a deployment; nothing is connected yet.

    Args:
        settings: The settings of the deployment.
        users_client: Returns the application's own Datastore client, whose open transactions calls
            depend on; None if there is none.

    Raises:
        ConfigurationError: The settings are wrong.
    """
    settings.check(os.environ)
    client = PerProcess(lambda: _client(settings))
    adapters = Adapters(
        queue=on_first_use(lambda: _queue(settings)),
        store=on_first_use(lambda: _store(client)),
        queries=on_first_use(lambda: _queries(client)),
        jobs=on_first_use(lambda: _jobs(settings)),
        verifier=on_first_use(lambda: _verifier(settings)),
        transactions=on_first_use(lambda: _transactions(settings, users_client)),
        clock=SystemClock(),
        new_id=lambda: uuid.uuid4().hex,
        chance=random.random,
    )
    if not settings.envelope_key:
        return adapters
    from adjourn.serialization.sealing import sealing

    return sealing(adapters, settings)


def _client(settings: Settings) -> Any:
    from adjourn.gcp.datastore_api import datastore_client

    return datastore_client(settings)


def _queue(settings: Settings) -> TaskQueue:
    from adjourn.gcp.cloudtasks import CloudTaskQueue

    return CloudTaskQueue(settings)


def _store(client: Callable[[], Any]) -> EntityStore:
    from adjourn.gcp.datastore_store import DatastoreStore

    return DatastoreStore(client)


def _queries(client: Callable[[], Any]) -> QuerySource:
    from adjourn.gcp.datastore_queries import DatastoreQueries

    return DatastoreQueries(client)


def _jobs(settings: Settings) -> JobScheduler:
    from adjourn.gcp.cloudscheduler import CloudSchedulerJobs

    return CloudSchedulerJobs(settings)


def _verifier(settings: Settings) -> TokenVerifier:
    from adjourn.gcp.oidc import OidcVerifier

    platform_checks = settings.platform == Platform.CLOUD_RUN_IAM
    return OidcVerifier(settings.keys_url, now=SystemClock().now, platform_checks=platform_checks)


def _transactions(settings: Settings, users_client: UsersClient) -> ApplicationTransactions:
    from adjourn.gcp.datastore_transactions import DatastoreTransactions

    return DatastoreTransactions(settings, users_client)
