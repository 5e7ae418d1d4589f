"""What is put into a response serialized comes out as Google's own classes have it."""

from google.cloud.datastore_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adjourn_local.datastore import responses
from adjourn_local.datastore.responses import entity_result, timestamp, whole
from adjourn_local.timing.timestamps import write

Entity = types.Entity.pb()
EntityResult = types.EntityResult.pb()
Key = types.Key.pb()

KEY = Key(path=[{"kind": "Item", "id": 1}])
ENTITY = Entity(key=KEY)
# The first of the year 1, in microseconds, and the last of the year 9999.
_times = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
# Lengths around those at which one more byte tells them.
_lengths = st.sampled_from([0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152])


def google_time(at):
    message = Timestamp()
    write(message, at)
    return message


@given(_times)
def test_a_time_is_a_timestamp(at):
    assert timestamp(at) == google_time(at).SerializeToString()


@given(
    st.one_of(_lengths, st.integers(0, 300)), st.integers(0, 2**63 - 1), _times, _times, _lengths
)
def test_a_result_is_what_protobuf_makes_of_it(size, version, created, updated, length):
    entity = Entity(key=KEY)
    entity.properties["text"].string_value = "x" * size
    result = EntityResult(
        entity=entity,
        version=version,
        create_time=google_time(created),
        update_time=google_time(updated),
        cursor=b"c" * length,
    )
    body = entity.SerializeToString()

    assert EntityResult.FromString(
        entity_result(body, version, created, updated, b"c" * length)
    ) == EntityResult.FromString(result.SerializeToString())


def test_the_answer_to_a_lookup_is_read_by_google():
    response = responses.LookupResponse()
    response.found.append(entity_result(ENTITY.SerializeToString(), 7, 0, 8))
    response.missing.add(entity=ENTITY.SerializeToString(), version=9)
    response.deferred.append(KEY.SerializeToString())
    write(response.read_time, 10)
    expected = types.LookupResponse.pb()(
        found=[
            EntityResult(
                entity=ENTITY, version=7, create_time=google_time(0), update_time=google_time(8)
            )
        ],
        missing=[EntityResult(entity=ENTITY, version=9)],
        deferred=[KEY],
        read_time=google_time(10),
    )

    assert whole(response) == expected
    assert response.SerializeToString() == expected.SerializeToString()


def test_the_answer_to_a_query_is_read_by_google():
    response = responses.RunQueryResponse()
    result = EntityResult(entity=ENTITY, cursor=b"here")
    response.batch.entity_results.append(result.SerializeToString())
    response.batch.entity_result_type = EntityResult.KEY_ONLY
    response.explain_metrics.execution_stats.results_returned = 1
    expected = types.RunQueryResponse.pb()(
        batch={"entity_results": [result], "entity_result_type": EntityResult.KEY_ONLY},
        explain_metrics={"execution_stats": {"results_returned": 1}},
    )

    assert whole(response) == expected
    assert response.SerializeToString() == expected.SerializeToString()


def test_the_answer_to_a_commit_is_read_by_google():
    response = responses.CommitResponse()
    value = types.Value.pb()(null_value=0)
    response.mutation_results.add(
        key=KEY.SerializeToString(),
        version=3,
        create_time=timestamp(0),
        transform_results=[value.SerializeToString()],
    )
    response.mutation_results.add(conflict_detected=True)
    expected = types.CommitResponse.pb()(
        mutation_results=[
            {"key": KEY, "version": 3, "create_time": google_time(0), "transform_results": [value]},
            {"conflict_detected": True},
        ]
    )

    assert whole(response) == expected
    assert response.SerializeToString() == expected.SerializeToString()
