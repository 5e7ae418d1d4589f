"""The edge to Google Cloud: the only modules that import google or grpc, and on first use."""

import random
import uuid

from adjourn.clock import SystemClock
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.gcp.datastore import DatastoreQueries, DatastoreStore, datastore_client
from adjourn.gcp.oidc import OidcVerifier
from adjourn.gcp.process import PerProcess
from adjourn.ports import Adapters
from adjourn.settings import Settings


def google_adapters(settings: Settings) -> Adapters:
    """Return the real services as the settings name them; nothing is connected yet."""
    clock = SystemClock()
    client = PerProcess(lambda: datastore_client(settings))
    return Adapters(
        queue=CloudTaskQueue(settings),
        store=DatastoreStore(client),
        queries=DatastoreQueries(client),
        verifier=OidcVerifier(settings.keys_url, now=clock.now),
        clock=clock,
        new_id=lambda: uuid.uuid4().hex,
        chance=random.random,
    )
