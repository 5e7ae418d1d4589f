"""Datastore v1 on SQLite: a query is a range scan over order-preserving keys, as in the cloud."""

from adjourn_local.datastore.composite_indexes import CompositeIndex, IndexNeed
from adjourn_local.datastore.locks import Concurrency
from adjourn_local.datastore.needed_indexes import NeededIndexes
from adjourn_local.datastore.server import DatastoreServer

__all__ = ["CompositeIndex", "Concurrency", "DatastoreServer", "IndexNeed", "NeededIndexes"]
