"""Servers of keys that are slow, endless, broken or malicious; and callers who do not wait."""

import concurrent.futures
import datetime as dt
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from adjourn.errors import KeysUnavailableError, UnauthenticatedError
from adjourn.gcp.limited_fetch import fetched
from adjourn.gcp.signing_keys import SigningKeys
from adjourn_local.timing.clocks import ManualClock
from adjourn_local.tokens.issuer import TokenIssuer

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOUR = 3600
DEADLINE = 0.3
# What a machine with other things to do may need beyond the deadline.
SLACK = 5.0


@pytest.fixture(scope="module")
def good():
    """Return the answer of a server with one good key, and the id of that key."""
    keys = TokenIssuer(ManualClock(NOW))._certificates(None)
    return answer(json.dumps(keys).encode()), next(iter(keys))


def answer(body, status="200 OK", headers=b""):
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + headers + b"\r\n" + body


class KeyServer:
    """Answers each connection by what `behave` does with it; counts them."""

    def __init__(self):
        self.behave = self.hang_up
        self.count = 0
        self.is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/certs"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.count += 1
            thread = threading.Thread(target=self._serve, args=(connection, self.behave))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection, behave):
        with connection, suppress(OSError):
            connection.settimeout(10)
            connection.recv(65536)
            behave(connection)

    def close(self):
        self.is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self, connection):
        pass

    def silent(self, _connection):
        self.is_over.wait(10)

    def says(self, data):
        return lambda connection: connection.sendall(data)

    def drips(self, data, then=b"x"):
        """Send one byte at a time, for ever."""

        def drip(connection):
            for n in range(1_000_000):
                connection.sendall(data[n : n + 1] or then)
                if self.is_over.wait(0.005):
                    return

        return drip

    def floods(self, data):
        def flood(connection):
            while not self.is_over.is_set():
                connection.sendall(data)

        return flood


@pytest.fixture
def server():
    server = KeyServer()
    yield server
    server.close()


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def keys(server, clock):
    return SigningKeys(server.url, now=clock.now, deadline=DEADLINE)


@contextmanager
def within(seconds):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def certificate(key, algorithm):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(key, algorithm)
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


ELLIPTIC = certificate(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
EDWARDS = certificate(ed25519.Ed25519PrivateKey.generate(), None)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

SLOW = {
    "silent": lambda s: s.silent,
    "drips its status": lambda s: s.drips(b"HTTP/1.1 200 OK", b"K"),
    "drips headers": lambda s: s.drips(HEAD + b"X: "),
    "drips a body": lambda s: s.drips(HEAD + b"Content-Length: 999999\r\n\r\n{"),
    "drips a body without end": lambda s: s.drips(HEAD + b"\r\n{"),
    "drips chunks": lambda s: s.drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "drips an extension of a chunk": lambda s: s.drips(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;"
    ),
}
GARBAGE = {
    "hangs up": lambda s: s.hang_up,
    "another protocol": lambda s: s.says(b"220 smtp.example ready\r\n"),
    "cut short": lambda s: s.says(HEAD + b"Content-Length: 999\r\n\r\n{"),
    "floods": lambda s: s.floods(b"x" * 65536),
    "endless headers": lambda s: s.floods(HEAD + b"X: y\r\n" * 100),
    "endless body": lambda s: s.drips(HEAD + b"\r\n" + b"[" * 10),
    "flood of a body": lambda s: lambda c: (c.sendall(HEAD + b"\r\n"), s.floods(b"[" * 65536)(c)),
    "200,000 deep": lambda s: s.says(answer(b"[" * 200_000)),
    "200,000 deep, closed": lambda s: s.says(answer(b"[" * 200_000 + b"]" * 200_000)),
    "200,000 deep in a key": lambda s: s.says(
        answer(b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}")
    ),
    "many lists": lambda s: s.says(answer(b"[" + b"[]," * 300_000 + b"[]]")),
    "a long number": lambda s: s.says(answer(b"9" * 900_000)),
    "not UTF-8": lambda s: s.says(answer(b'{"\xff": "x"}')),
    "no keys": lambda s: s.says(answer(b"{}")),
    "null": lambda s: s.says(answer(b"null")),
    "redirect": lambda s: s.says(answer(b"", "302 Found", b"Location: /elsewhere\r\n")),
    "redirect to a file": lambda s: s.says(
        answer(b"", "301 Moved", b"Location: file:///etc/passwd\r\n")
    ),
    "moved for good, with keys": lambda s: s.says(answer(b'{"a": "x"}', "308 Moved")),
    "no certificate": lambda s: s.says(answer(b'{"a": "-----BEGIN CERTIFICATE-----"}')),
    "no text": lambda s: s.says(answer(b'{"a": {"b": 1}, "c": [], "d": null, "e": 1e400}')),
    "an elliptic key": lambda s: s.says(answer(json.dumps({"a": ELLIPTIC}).encode())),
    "an Edwards key": lambda s: s.says(answer(json.dumps({"a": EDWARDS}).encode())),
    "no content": lambda s: s.says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a status of its own": lambda s: s.says(b"HTTP/1.1 999999999999 X\r\n\r\n"),
    "continue for ever": lambda s: s.floods(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("behaviour", [*SLOW, *GARBAGE])
def test_whatever_the_server_does_it_is_trouble_within_the_deadline(server, keys, behaviour):
    server.behave = (SLOW | GARBAGE)[behaviour](server)

    with within(DEADLINE + SLACK), pytest.raises(KeysUnavailableError):
        keys.with_id("a")


@pytest.mark.parametrize("behaviour", SLOW)
def test_a_fetch_ends_with_its_deadline_and_leaves_no_thread(server, behaviour):
    server.behave = SLOW[behaviour](server)

    with within(DEADLINE + SLACK), pytest.raises(OSError, match=r"within|timed out"):
        fetched(server.url, DEADLINE)


@pytest.mark.parametrize("behaviour", [*SLOW, *GARBAGE])
def test_the_server_is_asked_again_and_the_keys_are_then_there(
    server, keys, clock, good, behaviour
):
    server.behave = (SLOW | GARBAGE)[behaviour](server)
    with pytest.raises(KeysUnavailableError):
        keys.with_id(good[1])
    finish(keys)
    clock.advance(1)
    server.behave = server.says(good[0])

    assert good[1] in keys.with_id(good[1]).verifiers


def finish(keys):
    """Wait for the fetch that is under way, which ends after its deadline."""
    running = keys._running
    assert running is None or running.is_done.wait(DEADLINE + SLACK)


@pytest.fixture
def known(server, keys, clock, good):
    """Fetch the good key; then let it be old and its server slow."""
    server.behave = server.says(good[0])
    keys.with_id(good[1])
    clock.advance(HOUR)
    server.behave = server.silent
    return good[1]


@pytest.mark.parametrize("behaviour", SLOW)
def test_one_waits_a_moment_for_newer_keys_and_all_others_not_at_all(
    server, clock, good, behaviour
):
    keys = SigningKeys(server.url, now=clock.now, deadline=60)
    server.behave = server.says(good[0])
    keys.with_id(good[1])
    clock.advance(HOUR)
    server.behave = SLOW[behaviour](server)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(keys.with_id, good[1])
        while keys._running is None:
            time.sleep(0)
        with within(1):
            for _ in range(1000):
                assert keys.with_id(good[1])
        assert first.result(SLACK)
    assert keys._running is not None  # all of this happened meanwhile
    assert server.count == 2
    server.is_over.set()


def test_whoever_needs_a_new_key_waits_no_longer_than_the_one_deadline(keys, known):
    with concurrent.futures.ThreadPoolExecutor(8) as pool, within(DEADLINE + SLACK):
        waiting = [pool.submit(keys.with_id, f"new {n}") for n in range(8)]
        for each in waiting:
            with pytest.raises(KeysUnavailableError):
                each.result()

    assert keys.with_id(known)


def test_while_a_fetch_does_not_end_nobody_waits_for_it_again(clock):
    is_over = threading.Event()
    asked = []

    def stuck(url):  # as the look-up of a name can be, which nothing ends
        asked.append(url)
        is_over.wait(30)
        raise OSError("at last")

    keys = SigningKeys("http://127.0.0.1/", now=clock.now, fetch=stuck, deadline=0.05)
    try:
        with pytest.raises(KeysUnavailableError):
            keys.with_id("a")
        clock.advance(100)
        with within(1):
            for _ in range(100):
                with pytest.raises(KeysUnavailableError):
                    keys.with_id("a")
        assert len(asked) == 1
    finally:
        is_over.set()
        finish(keys)


def test_bad_keys_do_not_hide_the_good_one(server, keys, good):
    (content,) = json.loads(good[0].partition(b"\r\n\r\n")[2]).items()
    all_keys = {"e": ELLIPTIC, "d": EDWARDS, content[0]: content[1], "x": "garbage", "n": None}
    server.behave = server.says(answer(json.dumps(all_keys).encode()))

    assert keys.with_id(content[0]).verifiers.keys() == {content[0]}
    for bad in ("e", "d", "x", "n"):
        with pytest.raises(UnauthenticatedError):
            keys.with_id(bad)


def test_a_certificate_of_another_algorithm_is_never_used_to_verify(server, keys, clock, known):
    server.behave = server.says(answer(json.dumps({known: ELLIPTIC}).encode()))

    # It is no key, so the old one serves for as long as it may.
    assert keys.with_id(known).verifiers[known].verify(b"x", b"y") is False
    clock.advance(7 * HOUR)
    with pytest.raises(KeysUnavailableError):
        keys.with_id(known)


def test_an_answer_may_have_a_megabyte(server):
    server.behave = server.says(answer(b"x" * (1 << 20)))
    assert len(fetched(server.url, 60)[2]) == 1 << 20

    server.behave = server.says(answer(b"x" * ((1 << 20) + 1)))
    with pytest.raises(OSError, match="more than 1,048,576 bytes"):
        fetched(server.url, 60)
