"""The twins and the adapters are what the ports say."""

from adjourn import ports
from adjourn.clock import Clock, SystemClock
from adjourn.gcp.cloudscheduler import CloudSchedulerJobs
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.gcp.oidc import OidcVerifier
from adjourn.ports import QuerySource
from adjourn.testing import (
    FakeClock,
    MemoryJobs,
    MemoryQueries,
    MemoryQueue,
    MemoryStore,
    MemoryVerifier,
)


def queues(twin: MemoryQueue, adapter: CloudTaskQueue) -> list[ports.TaskQueue]:
    return [twin, adapter]


def jobs(twin: MemoryJobs, adapter: CloudSchedulerJobs) -> list[ports.JobScheduler]:
    return [twin, adapter]


def stores(twin: MemoryStore, adapter: DatastoreStore) -> list[ports.EntityStore]:
    return [twin, adapter]


def queries(twin: MemoryQueries, adapter: DatastoreQueries) -> list[QuerySource]:
    return [twin, adapter]


def verifiers(twin: MemoryVerifier, adapter: OidcVerifier) -> list[ports.TokenVerifier]:
    return [twin, adapter]


def clocks(twin: FakeClock, adapter: SystemClock) -> list[Clock]:
    return [twin, adapter]
