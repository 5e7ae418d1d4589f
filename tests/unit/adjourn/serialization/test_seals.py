"""Seals hold for one body in one place, and what they looked like once they look like for ever."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from adjourn.errors import DecodeError, UnknownKeyError
from adjourn.ports.sealer import is_sealed, key_of
from adjourn.serialization.seals import Key, KeySealer, Sort

GOLDEN = Path(__file__).parent / "golden_seals"
RAW = bytes(range(32))
TEXT = urlsafe_b64encode(RAW).decode().rstrip("=")
NONCE = bytes(range(100, 124))
BODY = (GOLDEN.parent / "golden" / "v1-written-plain.json").read_bytes().rstrip(b"\n")
PLACE = ("mail", "7f3a")
BOTH = pytest.mark.parametrize("sort", Sort, ids=lambda sort: sort.name.lower())


def sealer(sort, *texts, random=None, is_required=False):
    keys = [Key(text) for text in texts or (TEXT,)]
    more = {"random": random} if random else {}
    return KeySealer(keys=keys, sort=sort, is_required=is_required, **more)


def text_of(number):
    return urlsafe_b64encode(hashlib.sha256(b"%d" % number).digest()).decode().rstrip("=")


def sealed(sort, body=BODY, place=PLACE):
    return sealer(sort, random=lambda count: NONCE[:count]).seal(body, *place)


@BOTH
def test_a_golden_seal_is_made_and_opened_for_ever(sort):
    golden = bytes.fromhex((GOLDEN / f"{sort.name.lower()}.hex").read_text())

    assert sealed(sort) == golden
    assert sealer(None).open(golden, *PLACE) == BODY


def derived(purpose):
    return hmac.new(RAW, f"adjourn envelope {purpose}".encode(), "sha256").digest()


def test_a_signature_is_the_hmac_that_is_documented():
    header = b"\xad\x01" + derived("key id")[:4]
    covered = header + b"4:mail,4:7f3a," + BODY

    mac = hmac.new(derived("signature"), covered, "sha256").digest()

    assert sealed(Sort.SIGNED) == header + mac + BODY


def test_an_encryption_is_the_aes_gcm_that_is_documented():
    header = b"\xad\x02" + derived("key id")[:4]
    key = hmac.new(derived("encryption"), NONCE[:12], "sha256").digest()

    content = AESGCM(key).encrypt(NONCE[12:], BODY, header + b"4:mail,4:7f3a,")

    assert sealed(Sort.ENCRYPTED) == header + NONCE + content
    assert b"shop" not in sealed(Sort.ENCRYPTED)


@pytest.mark.parametrize(("sort", "more"), [(Sort.SIGNED, 38), (Sort.ENCRYPTED, 46)])
def test_a_seal_adds_as_many_bytes_as_are_documented(sort, more):
    assert len(sealed(sort)) == len(BODY) + more


@BOTH
@given(
    body=st.binary(max_size=300),
    place=st.tuples(st.text(max_size=9), st.text(max_size=9)).filter(
        lambda place: "".join(place).isprintable()
    ),
    other=st.tuples(st.text(max_size=9), st.text(max_size=9)).filter(
        lambda place: "".join(place).isprintable()
    ),
)
def test_a_body_is_opened_in_its_own_place_alone(sort, body, place, other):
    one = sealer(sort).seal(body, *place)

    assert is_sealed(one)
    assert sealer(None).open(one, *place) == body
    if other != place:
        with pytest.raises(DecodeError, match="does not hold"):
            sealer(None).open(one, *other)


@BOTH
def test_a_place_cannot_be_cut_in_another_way(sort):
    one = sealer(sort).seal(BODY, "ab", "c")

    for other in (("a", "bc"), ("abc", ""), ("", "abc"), ("ab", "c,0:")):
        with pytest.raises(DecodeError):
            sealer(None).open(one, *other)


@BOTH
def test_no_bit_can_be_changed(sort):
    one = sealed(sort, body=b'{"v":1}')

    for index in range(8, len(one) * 8):
        changed = bytearray(one)
        changed[index // 8] ^= 1 << index % 8
        with pytest.raises(DecodeError):
            sealer(None).open(bytes(changed), *PLACE)


@BOTH
def test_nothing_can_be_cut_off_or_put_behind(sort):
    one = sealed(sort)

    for length in range(1, len(one)):
        with pytest.raises(DecodeError):
            sealer(None).open(one[:length], *PLACE)
    with pytest.raises(DecodeError):
        sealer(None).open(one + b"\0", *PLACE)


def test_a_signed_body_is_not_an_encrypted_one():
    one = bytearray(sealed(Sort.ENCRYPTED))
    one[1:2] = Sort.SIGNED.value

    with pytest.raises(DecodeError, match="does not hold"):
        sealer(None).open(bytes(one), *PLACE)


@BOTH
def test_the_first_key_seals_and_all_of_them_open(sort, lines):
    old, new, other = (text_of(number) for number in range(3))
    before, after = sealer(sort, old), sealer(sort, new, old)

    assert after.open(before.seal(BODY, *PLACE), *PLACE) == BODY
    assert [line["event"] for line in lines()] == ["seal.old_key"]
    assert after.open(after.seal(BODY, *PLACE), *PLACE) == BODY
    assert len(lines()) == 1
    one = after.seal(BODY, *PLACE)
    assert key_of(one) == Key(new).id.hex()
    for unknowing in (before, sealer(sort, other)):
        with pytest.raises(UnknownKeyError, match=key_of(one)):
            unknowing.open(one, *PLACE)


def test_two_encryptions_of_a_body_have_nothing_in_common():
    one, other = (sealer(Sort.ENCRYPTED).seal(BODY, *PLACE)[6:] for _ in range(2))

    assert one[:12] != other[:12]
    assert one[24:] != other[24:]


def test_neither_key_nor_body_is_in_an_error():
    one = bytearray(sealed(Sort.SIGNED))
    one[-2] ^= 1
    with pytest.raises(DecodeError) as caught:
        sealer(None).open(bytes(one), *PLACE)

    assert TEXT not in str(caught.value)
    assert "resend" not in str(caught.value)
    assert caught.value.__cause__ is None
