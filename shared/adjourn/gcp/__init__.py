"""The edge to Google Cloud: the only modules that import google or grpc, and on first use."""

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
    """Return the real services as the settings name them; nothing is connected yet.

    Args:
        settings: The deployment.
        users_client: The application's own Datastore client, whose transactions are noticed.
    """
    settings.check(os.environ)
    clock = SystemClock()
    client = PerProcess(lambda: datastore_client(settings))
    return Adapters(
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
