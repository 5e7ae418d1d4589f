"""A collector of OpenTelemetry's protocol over HTTP, and the service that issues tokens for it."""

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
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TOKEN = "a-token-of-the-shop"
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
        self.refused = 0

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
            if self.path == "/token":
                token = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
                self._answer(200, json.dumps(token).encode())
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                collector.refused += 1
                self._answer(401, b"")
            else:
                is_zipped = self.headers["Content-Encoding"] == "gzip"
                collector.take(self.path, gzip.decompress(body) if is_zipped else body)
                self._answer(200, b"")

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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


def write_account(path: Path, url: str) -> None:
    """Write the key file of a service account for whose signature a collector issues tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    account = {
        "type": "service_account",
        "project_id": "shop",
        "private_key_id": "1",
        "private_key": text,
        "client_email": "shop@shop.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    path.write_text(json.dumps(account))


def _read(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
