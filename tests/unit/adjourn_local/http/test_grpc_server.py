"""The server, as Google's gRPC library calls it."""

import asyncio
import threading
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from google.rpc import status_pb2

from adjourn_local.http.bodies import LONGEST
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.http.rpc import RpcError, service
from adjourn_local.runtime.loop import LoopThread
from tests.support import serving

SIZES = [0, 1, 16_379, 16_380, 65_530, 1 << 20, LONGEST - 100]
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def fail_at_length(request):
    text = request.value.decode(errors="surrogateescape")
    raise RpcError(grpc.StatusCode.NOT_FOUND, text, StringValue(value="d" * 5000))


def fail(_request):
    raise RpcError(grpc.StatusCode.NOT_FOUND, "Not %20 found: ü\n", StringValue(value="detail"))


class Seen(grpc.GenericRpcHandler):
    """Notes what calls say of themselves, and answers with nothing."""

    def __init__(self):
        self.peers = []
        self.remaining = []
        self.metadata = []

    def service(self, details):
        async def see(request, context):
            self.peers.append(context.peer())
            self.remaining.append(context.time_remaining())
            self.metadata.append(dict(details.invocation_metadata))
            return request

        if details.method == "/test.Seen/See":
            return grpc.unary_unary_rpc_method_handler(see, bytes, bytes)
        return None


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def address(seen):
    def broken(_request):
        return None  # which cannot be serialized

    methods = {
        "Say": (BytesValue, lambda request: request),
        "Fail": (BytesValue, fail),
        "FailAtLength": (BytesValue, fail_at_length),
        "Break": (BytesValue, broken),
    }
    with LoopThread() as loop, serving(loop, service("test.Echo", methods), seen) as address:
        yield address


@pytest.fixture
def channel(address):
    with grpc.insecure_channel(address, UNLIMITED) as channel:
        yield channel


def method(channel, name):
    return channel.unary_unary(
        f"/test.Echo/{name}", BytesValue.SerializeToString, BytesValue.FromString
    )


def refused(channel, path, data=b"", **options):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(data, **options)
    return caught.value


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("size", SIZES)
def test_messages_of_any_size_arrive_whole(channel, size, compression):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)

    response = method(channel, "Say")(BytesValue(value=data), compression=compression)

    assert response.value == data


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
def test_a_message_that_is_too_large_is_refused_and_others_are_served(channel, compression):
    error = refused(channel, "/test.Echo/Say", bytes(LONGEST + 1), compression=compression)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert method(channel, "Say")(BytesValue(value=b"a")).value == b"a"


def test_a_refusal_comes_with_its_code_text_and_details(channel):
    error = refused(channel, "/test.Echo/Fail")

    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "Not %20 found: ü\n")
    (binary,) = [value for name, value in error.trailing_metadata() if name.endswith("-bin")]
    detail = StringValue()
    status_pb2.Status.FromString(binary).details[0].Unpack(detail)
    assert detail.value == "detail"


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("/test.Echo/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/nothing", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/test.Echo/Say", b"\xff\xff", grpc.StatusCode.INTERNAL),
        ("/test.Echo/Break", b"", grpc.StatusCode.UNKNOWN),
    ],
)
def test_what_cannot_be_served_is_refused(channel, path, data, code):
    assert refused(channel, path, data).code() is code
    assert method(channel, "Say")(BytesValue(value=b"a")).value == b"a"


@pytest.mark.parametrize("character", ["a", "ü", "😀", "%", "\n"])
def test_a_long_text_of_an_error_is_cut_and_keeps_its_code(channel, character):
    sent = BytesValue(value=(character * 20_000).encode()).SerializeToString()
    error = refused(channel, "/test.Echo/FailAtLength", sent)

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details().endswith("...")
    assert {*error.details().removesuffix("...")} == {character}
    assert len(error.details()) > 300


def test_a_text_that_cannot_be_encoded_is_answered(channel):
    sent = BytesValue(value=b"a\xff").SerializeToString()

    assert refused(channel, "/test.Echo/FailAtLength", sent).details() == "a?"


@pytest.mark.parametrize("size", [1, 60_000, 70_000, 200_000])
def test_metadata_that_are_too_large_are_refused_with_their_call_alone(channel, size):
    waiting = method(channel, "Say").future(BytesValue(value=b"a"))
    try:
        channel.unary_unary("/test.Echo/Say")(b"", metadata=[("x", "y" * size)])
        code = grpc.StatusCode.OK
    except grpc.RpcError as error:
        code = error.code()

    wanted = grpc.StatusCode.OK if size < 1 << 16 else grpc.StatusCode.RESOURCE_EXHAUSTED
    assert code is wanted
    assert waiting.result().value == b"a"


def test_a_call_knows_its_client_deadline_and_metadata(channel, seen):
    see = channel.unary_unary("/test.Seen/See")
    see(b"", timeout=30, metadata=[("x-note", "a")])
    see(b"")

    assert all(peer.startswith("ipv4:127.0.0.1:") for peer in seen.peers)
    # gRPC rounds a time up to three digits when it sends it.
    assert 0 < seen.remaining[0] <= 30.1
    assert seen.remaining[1] is None
    assert seen.metadata[0]["x-note"] == "a"


def test_many_clients_are_served_at_once(address):
    with ExitStack() as open_channels:
        channels = [
            open_channels.enter_context(grpc.insecure_channel(address, [("n", n)]))
            for n in range(10)
        ]
        calls = [
            method(channels[n % 10], "Say").future(BytesValue(value=b"%d" % n)) for n in range(500)
        ]
        assert [call.result().value for call in calls] == [b"%d" % n for n in range(500)]


def test_a_call_ends_when_its_client_gives_up():
    ended = threading.Event()

    async def wait(request):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return request

    methods = {"Wait": (BytesValue, wait)}
    with (
        LoopThread() as loop,
        serving(loop, service("test.Echo", methods)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        error = refused(channel, "/test.Echo/Wait", timeout=0.1)

        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert ended.wait(20)


@pytest.mark.parametrize("grace", [0, 60])
def test_a_server_that_stops_waits_for_what_is_under_way(grace):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(request):
        begun.set()
        await may_end.wait()
        return request

    async def stop(server):
        stopping = asyncio.ensure_future(server.stop(grace))
        await asyncio.sleep(0)
        if grace:
            may_end.set()
        await stopping

    with LoopThread() as loop:
        server = GrpcServer([service("test.Echo", {"Wait": (BytesValue, wait)})])
        address = f"127.0.0.1:{loop.run(server.listen('127.0.0.1', 0))}"
        with grpc.insecure_channel(address) as channel:
            call = method(channel, "Wait").future(BytesValue(value=b"a"))
            loop.run(begun.wait())
            loop.run(stop(server))

            if grace:
                assert call.result().value == b"a"
            else:
                assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
            assert refused(channel, "/test.Echo/Wait").code() is grpc.StatusCode.UNAVAILABLE
