"""How long a transaction stays open."""

import random

import pytest
from google.cloud.datastore_v1.types import TransactionOptions

from adjourn_local.datastore.transactions import Transactions
from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import SECOND

OPTIONS = TransactionOptions.pb()()


def transactions(**options):
    return Transactions(None, None, random.Random(1), **options)


def test_one_that_is_idle_for_a_minute_expires():
    kept = transactions()
    begun = kept.begin(OPTIONS, 0)

    assert kept.get(begun.id, 59 * SECOND) is begun
    with pytest.raises(RpcError, match="has expired"):
        kept.get(begun.id, 119 * SECOND)


def test_none_expires_while_somebody_debugs():
    kept = transactions(expire=False)
    begun = kept.begin(OPTIONS, 0)

    assert kept.get(begun.id, 3600 * SECOND) is begun
