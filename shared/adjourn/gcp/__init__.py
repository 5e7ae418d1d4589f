"""The adapters to Google Cloud: the only modules that import google or grpc, on first use."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from typing import Any

from adjourn.clock import SystemClock
from adjourn.concurrency import PerProcess
from adjourn.gcp.cloudscheduler import CloudSchedulerJobs
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.gcp.datastore_transactions import DatastoreTransactions
from adjourn.gcp.oidc import OidcVerifier
from adjourn.ports import Adapters
from adjourn.settings import Platform, Settings


def google_adapters(settings: Settings, users_client: Callable[[], Any] | None) -> Adapters:
    """Return the adapters for the services of a deployment; nothing is connected yet.

    Args:
        settings: The settings of the deployment.
        users_client: Returns the application's own Datastore client, whose open transactions calls
            depend on; None if there is none.

    Raises:
        ConfigurationError: The settings are wrong.
    """
    settings.check(os.environ)
    clock = SystemClock()
    client = PerProcess(lambda: datastore_client(settings))
    adapters = Adapters(
        queue=CloudTaskQueue(settings),
        store=DatastoreStore(client),
        queries=DatastoreQueries(client),
        jobs=CloudSchedulerJobs(settings),
        verifier=OidcVerifier(
            settings.keys_url,
            now=clock.now,
            platform_checks=settings.platform == Platform.CLOUD_RUN_IAM,
        ),
        transactions=DatastoreTransactions(settings, users_client),
        clock=clock,
        new_id=lambda: uuid.uuid4().hex,
        chance=random.random,
    )
    if not settings.envelope_key:
        return adapters
    from adjourn.serialization.sealing import sealing

    return sealing(adapters, settings)
