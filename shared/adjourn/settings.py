"""The settings of a deployment, read once from the environment and validated together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from adjourn import environment
from adjourn.environment import ATTEMPTS, variable
from adjourn.errors import ConfigurationError

GOOGLE_KEYS_URL = "https://www.googleapis.com/oauth2/v1/certs"

_QUEUE = re.compile(r"[A-Za-z0-9-]{1,100}")
_REGION = re.compile(r"[a-z0-9-]+")
_URL = re.compile(r"[!-~]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HOST = r"([^\s/]+:[0-9]+)?"
# Other values that Google would refuse only at the first call.
_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "project": (re.compile(r"[A-Za-z0-9:.-]*"), "the id of a project, such as my-shop"),
    "location": (re.compile(r"[a-z0-9-]*"), "a region, such as europe-west1"),
    "database": (re.compile(r"[A-Za-z0-9-]*"), "the id of a database, not set for the default one"),
    "queue": (_QUEUE, "1 to 100 letters, digits or hyphens"),
    "job_location": (re.compile(r"[a-z0-9-]*"), "a region, such as europe-west1"),
    "tasks_host": (re.compile(_HOST), "host:port, such as 127.0.0.1:8080"),
    "scheduler_host": (re.compile(_HOST), "host:port, such as 127.0.0.1:8080"),
}
# Cloud Tasks gives an attempt no less (Task.dispatch_deadline), and a function has no more
# (https://cloud.google.com/functions/docs/configuring/timeout).
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = 15, 3600
_LONGEST_DATASTORE_TIMEOUT = 60  # Google's own limit for a call
_LONGEST_TELEMETRY_FLUSH = 30
PREFIX = "/_adjourn"  # of the functions' paths in an own service
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Platform(StrEnum):
    """Who verifies the callers."""

    VERIFY = "verify"  # adjourn, by the signature of their tokens
    CLOUD_RUN_IAM = "cloud-run-iam"  # Cloud Run, which then removes the signature
    APP_ENGINE = "app-engine"  # App Engine, by headers that it strips from outside requests


class Seal(StrEnum):
    """What the bodies of new tasks get; see `adjourn.serialization.seals`."""

    NONE = "none"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"


_REQUIRED: Mapping[str, str] = {
    "project": "the Google Cloud project",
    "location": "the region of the queues, such as europe-west1",
    "deferred_url": "the URL of the deferred function",
    "queryiter_url": "the URL of the queryiter function",
    "cron_url": "the URL of the cron function",
    "service_account": "the account whose identity tasks carry",
}
_FUNCTION_URLS = ("deferred_url", "queryiter_url", "cron_url")
# Variables of which each platform sets at least one.
_SIGNS: Mapping[str, tuple[str, ...]] = {
    Platform.CLOUD_RUN_IAM: ("K_SERVICE",),
    Platform.APP_ENGINE: ("GAE_ENV", "GAE_APPLICATION"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one deployment, with the variables from which `from_env` reads them.

    Attributes:
        project: Google Cloud project of the queues and of Datastore (`ADJOURN_PROJECT`, else
            `GOOGLE_CLOUD_PROJECT`).
        location: Region of the queues, such as `europe-west1` (`ADJOURN_LOCATION`).
        fallback_location: Region whose queues of the same names take the tasks while those of
            `location` are unavailable (`ADJOURN_FALLBACK_LOCATION`); none if empty.
        job_location: Region of the jobs; that of the queues if empty (`ADJOURN_JOB_LOCATION`).
        deferred_url: Base URL of the deferred function (`ADJOURN_DEFERRED_URL`).
        queryiter_url: Base URL of the queryiter function (`ADJOURN_QUERYITER_URL`).
        cron_url: Base URL of the cron function (`ADJOURN_CRON_URL`).
        service_url: URL of an own service under which `adjourn.web` serves the functions, with the
            prefix, such as `https://shop.example/_adjourn` (`ADJOURN_SERVICE_URL`). The URLs of
            functions that are not set are below it; tokens for what is below it are for its origin,
            as Cloud Run's IAM wants them.
        service_account: Account whose token tasks and jobs carry (`ADJOURN_SERVICE_ACCOUNT`).
        callers: Accounts that may call the functions (`ADJOURN_CALLERS`, comma separated); the
            service account if empty.
        audiences: Further audiences that the functions accept besides their own URL, such as a
            custom domain (`ADJOURN_AUDIENCES`, comma separated).
        people_audiences: Audiences of the tokens with which users list and start callable tasks,
            such as the OAuth client of a web page (`ADJOURN_PEOPLE_AUDIENCES`, comma separated);
            no user can if empty.
        queue: Queue of tasks that name none (`ADJOURN_QUEUE`).
        database: Datastore database, empty for the default one (`ADJOURN_DATABASE`).
        platform: Who verifies the callers: `verify`, `cloud-run-iam` or `app-engine`
            (`ADJOURN_PLATFORM`).
        revision: What changes with each deployment (`ADJOURN_REVISION`, else `K_REVISION` as Cloud
            Run sets it, else `GAE_DEPLOYMENT_ID`).
        keys_url: URL of the public keys that verify tokens (`ADJOURN_KEYS_URL`).
        retry_warning: Number of retries after which there is one warning about a task
            (`ADJOURN_RETRY_WARNING`).
        function_timeout: Seconds after which the platform stops a request to the deferred function
            (its `timeout_seconds`); no call may have a longer timeout
            (`ADJOURN_FUNCTION_TIMEOUT`).
        datastore_timeout: Seconds that a call of Datastore may take, repetitions included, before
            what needs it gives up its thread and is tried again later
            (`ADJOURN_DATASTORE_TIMEOUT`).
        max_attempts: `max_attempts` of the queues by their short names, "" for all others, 0 for
            unlimited. A task that fails in the last attempt becomes a dead letter before Cloud
            Tasks deletes it (`ADJOURN_MAX_ATTEMPTS`, such as `100,mail=20`). The default is 100, as
            for a queue without configuration.
        cleanup: Whether a periodic function of the cron name "adjourn" deletes adjourn's expired
            records, for databases without TTL policies (`ADJOURN_CLEANUP`, `true` or `false`).
        telemetry_flush: Seconds that a delivery waits at most, before it is answered, for its spans
            to be exported, if the process uses OpenTelemetry's SDK; 0 leaves the export to the SDK
            (`ADJOURN_TELEMETRY_FLUSH`; 1 where Cloud Run sets `K_SERVICE`, else 0).
        envelope_key: Keys of the application, the newest first, each 32 random bytes in base64url
            (`ADJOURN_ENVELOPE_KEY`, comma separated); without one, the bodies of tasks are neither
            signed nor encrypted.
        envelope_seal: What new tasks get: `signed`, `encrypted` or `none`
            (`ADJOURN_ENVELOPE_SEAL`); signed if there is a key.
        envelope_required: Whether a task that is not sealed with one of the keys is refused
            (`ADJOURN_ENVELOPE_REQUIRED`, `true` or `false`).
        tasks_host: `host:port` of a local Cloud Tasks server (`CLOUDTASKS_EMULATOR_HOST`); empty
            for the real service.
        scheduler_host: `host:port` of a local Cloud Scheduler server
            (`CLOUDSCHEDULER_EMULATOR_HOST`); empty for the real service.
    """

    project: str
    location: str
    deferred_url: str
    queryiter_url: str
    cron_url: str
    service_account: str
    fallback_location: str = ""
    service_url: str = ""
    job_location: str = ""
    callers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    people_audiences: tuple[str, ...] = ()
    queue: str = "default"
    database: str = ""
    platform: str = Platform.VERIFY
    revision: str = ""
    keys_url: str = GOOGLE_KEYS_URL
    retry_warning: int = 25
    function_timeout: int = 1800
    datastore_timeout: int = 10
    max_attempts: Mapping[str, int] = field(default_factory=lambda: {"": ATTEMPTS})
    cleanup: bool = False
    telemetry_flush: int = 0
    envelope_key: tuple[str, ...] = field(default=(), repr=False)
    envelope_seal: str = ""
    envelope_required: bool = False
    tasks_host: str = ""
    scheduler_host: str = ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables.

        Raises:
            ConfigurationError: Some are missing or wrong; the message lists all of them.
        """
        read: Mapping[str, Any] = environment.read(environ)
        own = _urls_below(read["service_url"]) if "service_url" in read else {}
        values: Mapping[str, Any] = {**dict.fromkeys(_REQUIRED, ""), **own, **read}
        settings = cls(**values)
        unknown = environment.unknown(environ)
        _refuse([*unknown, *settings.mistakes(), *settings._misplaced(environ)])
        return settings

    def check(self, environ: Mapping[str, str]) -> None:
        """Make sure that the settings are valid, and that this process is on their platform.

        Raises:
            ConfigurationError: They are wrong; the message lists every mistake.
        """
        _refuse([*self.mistakes(), *self._misplaced(environ)])

    def mistakes(self) -> list[str]:
        """Return a sentence with the fix for every mistake."""
        if texts := list(self._not_texts()):
            return texts
        missing = (
            f"{variable(name)} is not set: {meaning}."
            for name, meaning in _REQUIRED.items()
            if not getattr(self, name)
        )
        wrong = (self._wrong_addresses(), self._wrong_names(), self._wrong_numbers())
        return [*missing, *chain(*wrong, self._wrong_seals())]

    def _not_texts(self) -> Iterator[str]:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type == "str" and not isinstance(value, str):
                yield f"{each.name}={value!r:.80} must be a str."
            if each.type == "tuple[str, ...]" and not all(isinstance(text, str) for text in value):
                yield f"{each.name}={value!r:.80} must be a tuple of str."

    def _wrong_addresses(self) -> Iterator[str]:
        for name in (*_FUNCTION_URLS, "keys_url", "service_url"):
            url = getattr(self, name)
            if url and not is_safe_url(url):
                wanted = "an https:// URL (http:// on loopback only)"
                yield f"{variable(name)}={url!r} must be {wanted}."
        emails = [("ADJOURN_SERVICE_ACCOUNT", self.service_account)]
        for name, email in [*emails, *(("ADJOURN_CALLERS", each) for each in self.callers)]:
            if email and not _EMAIL.fullmatch(email):
                yield f"{name}: {email!r} is not the e-mail address of a service account."
        for audience in self.people_audiences:
            if audience.rstrip("/") in self._service_audiences():
                yield (
                    f"ADJOURN_PEOPLE_AUDIENCES: {audience!r} is what the tokens of tasks and jobs"
                    " are for; people need another one."
                )

    def _wrong_names(self) -> Iterator[str]:
        for name, (form, wanted) in _FORMS.items():
            if not form.fullmatch(getattr(self, name)):
                yield f"{variable(name)}={getattr(self, name)!r} must be {wanted}."
        if self.platform not in set(Platform):
            yield f"ADJOURN_PLATFORM={self.platform!r} must be one of {', '.join(Platform)}."
        fallback = self.fallback_location
        if fallback and (fallback == self.location or not _REGION.fullmatch(fallback)):
            yield (
                f"ADJOURN_FALLBACK_LOCATION={fallback!r} must be another region than"
                " ADJOURN_LOCATION, such as europe-west4."
            )

    def _wrong_numbers(self) -> Iterator[str]:
        if not _is_whole(self.retry_warning) or self.retry_warning < 1:
            yield f"ADJOURN_RETRY_WARNING={self.retry_warning!r} must be a whole number from 1."
        seconds = self.function_timeout
        if not _is_whole(seconds) or not _SHORTEST_TIMEOUT <= seconds <= _LONGEST_TIMEOUT:
            yield (
                f"ADJOURN_FUNCTION_TIMEOUT={seconds!r} must be the deferred function's own timeout"
                f" in seconds, a whole number from {_SHORTEST_TIMEOUT} to {_LONGEST_TIMEOUT}."
            )
        seconds = self.datastore_timeout
        if not _is_whole(seconds) or not 1 <= seconds <= _LONGEST_DATASTORE_TIMEOUT:
            wanted = f"a whole number of seconds from 1 to {_LONGEST_DATASTORE_TIMEOUT}"
            yield f"ADJOURN_DATASTORE_TIMEOUT={seconds!r} must be {wanted}."
        seconds = self.telemetry_flush
        if not _is_whole(seconds) or not 0 <= seconds <= _LONGEST_TELEMETRY_FLUSH:
            wanted = f"a whole number of seconds from 0 to {_LONGEST_TELEMETRY_FLUSH}"
            yield f"ADJOURN_TELEMETRY_FLUSH={seconds!r} must be {wanted}."
        for queue, attempts in self.max_attempts.items():
            if not _is_whole(attempts) or attempts < 0 or not (queue == "" or is_queue(queue)):
                part = f"{queue}={attempts}" if queue else f"{attempts}"
                yield (
                    f"ADJOURN_MAX_ATTEMPTS: {part!r} must be a whole number for all queues, or a"
                    " queue with its number, or -1 for unlimited, such as 100,mail=20."
                )

    def _wrong_seals(self) -> Iterator[str]:
        keys = self.envelope_key
        yield from environment.wrong_keys(keys)
        if self.envelope_seal not in {"", *Seal}:
            wanted = ", ".join(Seal)
            yield f"ADJOURN_ENVELOPE_SEAL={self.envelope_seal!r} must be one of {wanted}."
        elif not keys and (self.envelope_required or self.envelope_seal not in {"", Seal.NONE}):
            yield "ADJOURN_ENVELOPE_KEY is not set: ADJOURN_ENVELOPE_SEAL and _REQUIRED need it."
        elif self.envelope_required and self.seal is Seal.NONE:
            yield "ADJOURN_ENVELOPE_REQUIRED=true refuses what ADJOURN_ENVELOPE_SEAL=none enqueues."

    @property
    def seal(self) -> Seal:
        """What the bodies of new tasks get."""
        return Seal(self.envelope_seal or (Seal.SIGNED if self.envelope_key else Seal.NONE))

    def attempts_of(self, queue: str) -> int:
        """Return the `max_attempts` of a queue; 0 for unlimited."""
        return self.max_attempts.get(queue, self.max_attempts.get("", 0))

    def region_of_jobs(self) -> str:
        """Return the region of the Cloud Scheduler jobs."""
        return self.job_location or self.location

    def accepted_callers(self) -> frozenset[str]:
        """Return the accounts that may call the functions."""
        return frozenset(self.callers or (self.service_account,))

    def accepted_audiences(self, own_url: str) -> frozenset[str]:
        """Return the audiences that a function at `own_url` accepts."""
        return frozenset((own_url, self.audience_of(own_url), *self.audiences))

    def audience_of(self, url: str) -> str:
        """Return the audience of tokens for the function at a URL: itself, or an own service.

        https://cloud.google.com/run/docs/authenticating/service-to-service
        """
        if not self.service_url or not url.startswith(f"{self.service_url}/"):
            return url
        scheme, host, *_ = urlsplit(url)
        return f"{scheme}://{host}"

    def _service_audiences(self) -> frozenset[str]:
        urls = [getattr(self, name) for name in _FUNCTION_URLS]
        own = (*urls, *map(self.audience_of, urls), *self.audiences)
        return frozenset(url.rstrip("/") for url in own)

    def _misplaced(self, environ: Mapping[str, str]) -> list[str]:
        signs = _SIGNS.get(self.platform, ())
        if not signs or any(environ.get(sign) for sign in signs):
            return []
        missing = " or ".join(signs)
        return [f"ADJOURN_PLATFORM={self.platform} is only for where {missing} is set; remove it."]


def _urls_below(service_url: str) -> dict[str, str]:
    return {name: f"{service_url}/{name.removesuffix('_url')}" for name in _FUNCTION_URLS}


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise ConfigurationError("adjourn cannot start:\n" + "\n".join(f"- {m}" for m in mistakes))


def _is_whole(value: object) -> bool:
    return type(value) is int


def is_queue(value: object) -> bool:
    """Whether a value is a valid short name of a queue of Cloud Tasks (`Queue.name`)."""
    return isinstance(value, str) and _QUEUE.fullmatch(value) is not None


def is_safe_url(url: str) -> bool:
    """Whether a token may be sent to a URL: over https, or to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.query or parts.fragment or not _URL.fullmatch(url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
