"""A collector of OpenTelemetry's protocol over HTTP, which verifies who sends."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ACCOUNT = "shop@shop.iam.gserviceaccount.com"
PATIENCE = 60


class Received(NamedTuple):
    """A span or a metric, with the attributes of the process that has sent it."""

    what: Any
    resource: dict[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        return _read(self.what.attributes)


class Collector:
    """What was exported so far."""

    def __init__(self) -> None:
        self._spans: list[Received] = []
        self._metrics: list[Received] = []
        self._grown = threading.Condition()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.refused = 0

    def write_account(self, path: Path) -> None:
        """Write the key file of the account that may send.

        Its tokens are signed by itself, as those of another universe than Google's own are; for the
        latter, Google's services would be asked.
        """
        key = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "universe_domain": "shop.example",
            "project_id": "shop",
            "private_key_id": "1",
            "private_key": key.decode(),
            "client_email": ACCOUNT,
            "token_uri": "http://127.0.0.1:1/token",
        }
        path.write_text(json.dumps(account))

    def knows(self, authorization: str) -> bool:
        """Whether a header has a valid token of the account."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            claims = jwt.decode(authorization.removeprefix("Bearer "), certs=public)
        except ValueError:
            return False
        return bool(claims["iss"] == ACCOUNT)

    def spans(self, name: str, count: int = 1) -> list[Received]:
        """Return the spans of a name, the earliest first, once there are so many of them."""
        with self._grown:
            self._grown.wait_for(lambda: len(self._named(name)) >= count, PATIENCE)
            found = self._named(name)
        assert len(found) == count, sorted(each.what.name for each in self._spans)
        return sorted(found, key=lambda each: each.what.start_time_unix_nano)

    def span(self, name: str) -> Received:
        """Return the only span of a name, once it is there."""
        return self.spans(name)[0]

    def metric(self, name: str) -> list[Received]:
        """Return what was exported of a metric, once there is something."""

        def found() -> list[Received]:
            return [each for each in self._metrics if each.what.name == name]

        with self._grown:
            assert self._grown.wait_for(found, PATIENCE), name
            return found()

    def _named(self, name: str) -> list[Received]:
        return [each for each in self._spans if each.what.name == name]

    def take(self, path: str, body: bytes) -> None:
        with self._grown:
            if path == "/v1/traces":
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resource = _read(sent.resource.attributes)
                    for scope in sent.scope_spans:
                        self._spans += [Received(each, resource) for each in scope.spans]
            else:
                for sent in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    resource = _read(sent.resource.attributes)
                    for scope in sent.scope_metrics:
                        self._metrics += [Received(each, resource) for each in scope.metrics]
            self._grown.notify_all()


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """Serve a collector and yield it with its URL."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not collector.knows(self.headers["Authorization"] or ""):
                collector.refused += 1
                self._answer(401)
            else:
                is_zipped = self.headers["Content-Encoding"] == "gzip"
                collector.take(self.path, gzip.decompress(body) if is_zipped else body)
                self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
