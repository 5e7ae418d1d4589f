"""Queries that are to be explained, by Google's client."""

import pytest
from google.cloud.datastore import ExplainOptions
from google.cloud.datastore.query import Or, PropertyFilter
from google.cloud.datastore.query_profile import QueryExplainError

from tests.contract.datastore_world import names, put, running


@pytest.fixture
def client(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as world:
        found = world.client()
        for number in range(1, 6):
            put(found, "Row", number, n=number, m=number % 2)
        yield found


def query(client, *, analyze, order=("-n",)):
    found = client.query(
        kind="Row", order=list(order), explain_options=ExplainOptions(analyze=analyze)
    )
    return found.add_filter(filter=PropertyFilter("m", "=", 1))


INDEX = {"query_scope": "Collection group", "properties": "(m ASC, n DESC, __name__ DESC)"}


def test_a_plan_alone_comes_without_results(client):
    asked = query(client, analyze=False).fetch()

    assert list(asked) == []
    assert asked.explain_metrics.plan_summary.indexes_used == [INDEX]
    with pytest.raises(QueryExplainError):
        _ = asked.explain_metrics.execution_stats


def test_a_query_that_is_analyzed_comes_with_its_results_and_its_cost(client):
    asked = query(client, analyze=True).fetch()

    assert names(asked) == [5, 3, 1]
    assert asked.explain_metrics.plan_summary.indexes_used == [INDEX]
    stats = asked.explain_metrics.execution_stats
    assert (stats.results_returned, stats.read_operations) == (3, 3)
    assert stats.execution_duration.total_seconds() > 0


def test_each_alternative_tells_its_index(client):
    asked = client.query(kind="Row", explain_options=ExplainOptions(analyze=True))
    either = [PropertyFilter("m", "=", 0), PropertyFilter("n", "=", 1)]
    asked.add_filter(filter=Or(either))
    found = asked.fetch()

    assert names(found) == [1, 2, 4]
    told = [index["properties"] for index in found.explain_metrics.plan_summary.indexes_used]
    assert told == ["(m ASC, __name__ ASC)", "(n ASC, __name__ ASC)"]


def test_keys_cost_one_read(client):
    asked = client.query(kind="Row", explain_options=ExplainOptions(analyze=True))
    asked.keys_only()
    found = asked.fetch()

    assert len(list(found)) == 5
    stats = found.explain_metrics.execution_stats
    assert (stats.results_returned, stats.read_operations) == (5, 1)


def test_a_count_is_explained(client):
    for analyze, expected in ((False, []), (True, [3])):
        asked = client.aggregation_query(query(client, analyze=analyze, order=())).count().fetch()

        assert [result.value for batch in asked for result in batch] == expected
        (index,) = asked.explain_metrics.plan_summary.indexes_used
        assert index["properties"] == "(m ASC, __name__ ASC)"
    assert asked.explain_metrics.execution_stats.results_returned == 1


def test_a_transaction_is_not_disturbed_by_an_explained_read(client):
    with client.transaction():
        assert names(query(client, analyze=True).fetch()) == [5, 3, 1]
        put(client, "Row", 6, n=6, m=1)

    assert client.get(client.key("Row", 6))["n"] == 6


def test_an_index_below_an_ancestor_tells_its_scope(client):
    top = client.key("Top", 1)
    put(client, "Row", 1, parent=top, n=1)
    explained = ExplainOptions(analyze=False)
    asked = client.query(kind="Row", ancestor=top, order=["n"], explain_options=explained).fetch()

    assert list(asked) == []
    (index,) = asked.explain_metrics.plan_summary.indexes_used
    assert index == {"query_scope": "Includes ancestors", "properties": "(n ASC, __name__ ASC)"}
