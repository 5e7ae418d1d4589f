import gzip
import zlib

import pytest

from adjourn_local.http.bodies import LONGEST, BodyError, decode

PLAIN = b'{"a": 1}' * 100
GZIPPED = gzip.compress(PLAIN, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("gzip", GZIPPED),
        (" X-GZIP ", GZIPPED),
        ("deflate", zlib.compress(PLAIN)),
    ],
)
def test_a_body_is_decoded_as_its_header_says(encoding, body):
    assert decode(body, encoding) == PLAIN
    assert decode(b"", encoding) == b""


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (PLAIN, "gzip", 400),
        (GZIPPED[:-1], "gzip", 400),
        (GZIPPED + b"x", "gzip", 400),
        (b"\xff\xffzz", "deflate", 400),
        (PLAIN, "br", 415),
        (gzip.compress(GZIPPED, mtime=0), "gzip, gzip", 415),
        (gzip.compress(bytes(LONGEST + 1), mtime=0), "gzip", 413),
    ],
)
def test_a_body_that_is_not_what_its_header_says_is_refused(body, encoding, status):
    with pytest.raises(BodyError) as refused:
        decode(body, encoding)

    assert refused.value.status == status


def test_a_body_may_be_as_long_as_the_limit():
    assert len(decode(gzip.compress(bytes(LONGEST)), "gzip")) == LONGEST
