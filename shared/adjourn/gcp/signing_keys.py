"""Google's public keys that verify identity tokens: fetched within one deadline, and kept.

No module of Google is imported before keys are fetched.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import NamedTuple, Protocol, cast

from adjourn.errors import KeysUnavailableError, UnauthenticatedError

Answer = tuple[int, Mapping[str, str], bytes]
Fetch = Callable[[str], Answer]

_log = logging.getLogger(__name__)

_DEADLINE = 5.0  # seconds for all of a fetch, whatever the server does
_PATIENCE = 1.0  # seconds for which somebody waits for newer keys whose own are known
_OK = 200

_SHORTEST = dt.timedelta(minutes=5)
_LONGEST = dt.timedelta(hours=24)
_DEFAULT = dt.timedelta(hours=1)
_USABLE_AFTER_EXPIRY = dt.timedelta(hours=6)
_PAUSE = dt.timedelta(seconds=30)
# Without any usable key every request fails, so the next attempt may follow soon.
_PAUSE_WITHOUT_KEYS = dt.timedelta(seconds=1)


class Verifier(Protocol):
    """Verifies signatures of one key."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature of a message is good."""


class Keys(NamedTuple):
    """The keys that one fetch has brought.

    Attributes:
        verifiers: What verifies the signatures of each key, by its id.
        fetched_at: When they were fetched.
        lifetime: For how long they may be kept.
        proven: The claims of tokens that were verified with these keys.
    """

    verifiers: Mapping[str, Verifier]
    fetched_at: dt.datetime
    lifetime: dt.timedelta
    proven: dict[str, Mapping[str, object]]

    def is_fresh(self, now: dt.datetime) -> bool:
        """Whether they need not be fetched again."""
        return self.fetched_at <= now < self.fetched_at + self.lifetime

    def is_usable(self, now: dt.datetime) -> bool:
        """Whether they may still be used if no newer ones can be had."""
        return now < self.fetched_at + self.lifetime + _USABLE_AFTER_EXPIRY


class _Attempt(NamedTuple):
    at: dt.datetime
    succeeded: bool


class _Running(NamedTuple):
    until: float
    is_done: threading.Event

    def wait(self, seconds: float) -> bool:
        return self.is_done.wait(max(0.0, min(seconds, self.until - time.monotonic())))


class SigningKeys:
    """The published keys, which threads share.

    They are kept for as long as their response allows (5 min to 24 h), and fetched again when a
    token names an unknown key, at most every 30 s. If that fails, the known keys are used for
    another 6 h. One thread in the background fetches them. Whoever needs a key that is not known
    waits for it until the deadline of the fetch, however many there are and whatever the server
    does; whoever has found out that known keys are old waits for a second, and nobody else does.

    Attributes:
        current: The keys of the last successful fetch; None before.
    """

    def __init__(
        self,
        url: str,
        *,
        now: Callable[[], dt.datetime],
        fetch: Fetch | None = None,
        deadline: float = _DEADLINE,
    ) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            url: URL of a JSON object from key ids to PEM certificates.
            now: Returns the time as an aware datetime.
            fetch: Gets a URL; returns status, headers and body; raises OSError without a response.
            deadline: Seconds that a fetch may take.
        """
        self._url = url
        self._now = now
        self._fetch = fetch or self._fetched
        self._deadline = deadline
        self._lock = threading.Lock()
        self._attempt: _Attempt | None = None
        self._running: _Running | None = None
        self.current: Keys | None = None

    def with_id(self, key_id: str) -> Keys:
        """Return keys among which there is one with this id.

        Raises:
            UnauthenticatedError: There is none.
            KeysUnavailableError: There may be one, and the keys could not be fetched.
        """
        keys = self.current
        is_known = keys is not None and key_id in keys.verifiers
        if is_known and keys and keys.is_fresh(self._now()):
            return keys
        is_settled = self._renewed(can_go_on=is_known and self._is_usable(keys))
        keys = self.current
        if keys is None or not self._is_usable(keys):
            raise KeysUnavailableError("the keys that verify callers could not be fetched")
        if key_id in keys.verifiers:
            return keys
        if not is_settled or (self._attempt is not None and not self._attempt.succeeded):
            raise KeysUnavailableError("the key may be new, and fetching the keys failed")
        raise UnauthenticatedError("unknown key")

    def _fetched(self, url: str) -> Answer:
        from adjourn.gcp.limited_fetch import fetched

        return fetched(url, self._deadline)

    def _is_usable(self, keys: Keys | None) -> bool:
        return keys is not None and keys.is_usable(self._now())

    def _renewed(self, *, can_go_on: bool) -> bool:
        """Fetch newer keys or wait for them; return whether no fetch is under way any more."""
        with self._lock:
            running = self._running
            is_first = running is None
            if running is None:
                if not self._may_fetch():
                    return True
                running = self._begun()
        if not can_go_on:
            return running.wait(self._deadline)
        return running.wait(_PATIENCE if is_first else 0)

    def _may_fetch(self) -> bool:
        last, now = self._attempt, self._now()
        pause = _PAUSE if self._is_usable(self.current) else _PAUSE_WITHOUT_KEYS
        return last is None or not last.at <= now < last.at + pause

    def _begun(self) -> _Running:
        running = _Running(time.monotonic() + self._deadline, threading.Event())
        work = copy_context().run
        thread = threading.Thread(
            target=work, args=(self._run, running), name="adjourn-keys", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # there are too many threads
            raise KeysUnavailableError(f"the keys could not be fetched: {error}") from error
        self._running = running
        return running

    def _run(self, running: _Running) -> None:
        keys = self._try_fetch()
        with self._lock:
            self.current = keys or self.current
            self._attempt = _Attempt(at=self._now(), succeeded=keys is not None)
            self._running = None
        running.is_done.set()

    def _try_fetch(self) -> Keys | None:
        try:
            status, headers, body = self._fetch(self._url)
            if status != _OK:
                raise ValueError(f"status {status}")  # noqa: TRY301 - one place logs every failure
            return Keys(
                _verifiers(body), fetched_at=self._now(), lifetime=_lifetime(headers), proven={}
            )
        except Exception as error:  # noqa: BLE001 - whatever a server sends, it must not end this
            text = f"{type(error).__name__}: {error}"
            _log.warning("fetching the keys of %s failed: %.300s", self._url, text)
            return None


def _verifiers(body: bytes) -> Mapping[str, Verifier]:
    """Return what verifies the signatures of each key.

    Raises:
        ValueError: There is no key of RSA.
        RecursionError: It is nested too deeply for any JSON of keys.
    """
    certificates = json.loads(body)
    if not isinstance(certificates, dict):
        raise ValueError("not an object from key id to certificate")  # noqa: TRY004 - all is one kind
    loaded = {key_id: _verifier(each) for key_id, each in certificates.items()}
    usable = {key_id: verifier for key_id, verifier in loaded.items() if verifier}
    if not usable:
        raise ValueError(f"no certificate of an RSA key among {len(loaded)}")
    if len(usable) < len(loaded):
        _log.warning("%d published keys are unusable", len(loaded) - len(usable))
    return usable


def _verifier(certificate: object) -> Verifier | None:
    from google.auth.crypt import RSAVerifier

    load = cast("Callable[[object], Verifier]", RSAVerifier.from_string)
    try:
        verifier = load(certificate)
        verifier.verify(b"", b"")  # the key of another algorithm is noticed here at the earliest
    except Exception:  # noqa: BLE001 - it depends on the library what it raises for which garbage
        return None
    return verifier


def _lifetime(headers: Mapping[str, str]) -> dt.timedelta:
    lower = {name.lower(): value for name, value in headers.items()}
    found = re.search(
        r'(?<![\w-])max-age\s*=\s*"?(\d{1,9})', lower.get("cache-control", "").lower()
    )
    if found is None:
        return _DEFAULT
    age = lower.get("age", "").strip()
    seconds = int(found[1]) - (int(age) if re.fullmatch(r"\d{1,9}", age) else 0)
    return min(max(dt.timedelta(seconds=seconds), _SHORTEST), _LONGEST)
