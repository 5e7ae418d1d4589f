import hpack
import pytest

from adjourn_local.http.http2_frames import COMPRESSION, Http2Error
from adjourn_local.http.http2_headers import HeaderDecoder

METHOD, SCHEME, PATH = (":method", "POST"), (":scheme", "http"), (":path", "/a/b")
HEAD = [METHOD, SCHEME, PATH]


def decoded(fields):
    return HeaderDecoder().decode(hpack.Encoder().encode(fields))


@pytest.mark.parametrize("more", [[], [(":authority", "x")]])
def test_the_headers_of_a_request(more):
    headers = decoded([*HEAD, *more, ("te", "trailers"), ("content-length", "12"), ("x", " ü ")])

    assert headers.is_request
    assert not headers.is_trailers
    assert headers.length == 12
    assert headers.fields[":path"] == "/a/b"
    assert headers.fields["x"] == " ü "


def test_trailers():
    headers = decoded([("x-end", "1")])

    assert headers.is_trailers
    assert not headers.is_request
    assert headers.length is None
    assert headers.size == len("x-end") + 1 + 32


@pytest.mark.parametrize(
    "fields",
    [
        [METHOD, SCHEME],
        [METHOD, PATH],
        [SCHEME, PATH],
        [METHOD, SCHEME, (":path", "")],
        [*HEAD, PATH],
        [METHOD, SCHEME, ("x", "1"), PATH],
        [*HEAD, (":status", "200")],
        [*HEAD, (":other", "1")],
        [*HEAD, ("X", "1")],
        [*HEAD, ("", "1")],
        [*HEAD, ("a b", "1")],
        [*HEAD, ("a:b", "1")],
        [*HEAD, ("x", "a\nb")],
        [*HEAD, ("x", "a\rb")],
        [*HEAD, ("x", "a\0b")],
        [*HEAD, ("connection", "close")],
        [*HEAD, ("transfer-encoding", "chunked")],
        [*HEAD, ("te", "gzip")],
        [*HEAD, ("content-length", "-1")],
        [*HEAD, ("content-length", "")],
        [*HEAD, ("content-length", "9" * 5000)],
        [*HEAD, ("content-length", "1"), ("content-length", "2")],
    ],
)
def test_malformed_headers(fields):
    headers = decoded(fields)

    assert not headers.is_request
    assert not headers.is_trailers


def test_several_values_of_a_name_are_all_kept():
    assert decoded([*HEAD, ("x", "1"), ("y", "2"), ("x", "3")]).fields["x"] == "1,3"


def test_a_value_that_is_no_text_harms_nobody():
    assert decoded([*HEAD, ("x", b"\xff")]).fields["x"] == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("block", [b"\xff\xff\xff\x7f", b"\x7f" + b"\x80" * 10_000, b"\x40\x05a"])
def test_what_cannot_be_decoded_is_refused(block):
    with pytest.raises(Http2Error) as caught:
        HeaderDecoder().decode(block)

    assert caught.value.code == COMPRESSION


def test_a_small_block_that_stands_for_large_headers_is_refused():
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    decoder.decode(encoder.encode([("x", "y" * 4000)]))

    with pytest.raises(Http2Error) as caught:
        decoder.decode(encoder.encode([("x", "y" * 4000)]) * 100)

    assert caught.value.code == COMPRESSION


def test_large_blocks_are_not_remembered():
    decoder, fields = HeaderDecoder(), [*HEAD, ("x", "y" * 2000)]
    block = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*each) for each in fields])
    small = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*each) for each in HEAD])

    assert decoder.decode(block) is not decoder.decode(block)
    assert decoder.decode(small) is decoder.decode(small)
