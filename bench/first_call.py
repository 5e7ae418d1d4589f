"""What the first call of a process waits for: adjourn against Google's client.

    python -m bench.first_call [rounds]

Each figure is the CPU time of a fresh interpreter, in turn, from the import of `adjourn` on; the
best of all rounds counts, as noise only adds. *laptop*: a task is created in a server of `adjourn
up`. *cloud*: everything up to the first request, with the credentials of a metadata server that
runs here, whose token is fetched. aiohttp, which Google's client imports wherever it is installed,
is not there, as in the functions; a second column says what it takes with it.
"""

import os
import statistics
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.laptop import laptop

_BEGIN = """
import os, sys, time
if sys.argv[1] == "without":
    sys.modules["aiohttp"] = None
import adjourn
from adjourn.settings import Settings
settings = Settings.from_env(os.environ)
parent = f"projects/{settings.project}/locations/{settings.location}/queues/{settings.queue}"
began = time.process_time()
"""
_END = """
print(time.process_time() - began)
"""
_TASK = """
import grpc
from google.cloud.tasks_v2 import CloudTasksClient, HttpRequest, OidcToken, Task
task = Task(http_request=HttpRequest(url=settings.deferred_url, body=b"{}", oidc_token=OidcToken(
    service_account_email=settings.service_account, audience=settings.deferred_url)))
"""
_CALLS = {
    "laptop": {
        "Google's client": _TASK
        + """
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
channel = grpc.insecure_channel(settings.tasks_host)
client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
client.create_task(parent=parent, task=task)
""",
        "adjourn": """
app = adjourn.App(settings)
app.deferred(name="bench_app.tell")(lambda number: None)(1)
""",
        "adjourn, warmed up": """
app = adjourn.App(settings)
app.warm_up()
import threading
[each.join() for each in threading.enumerate() if each is not threading.current_thread()]
began = time.process_time()
app.deferred(name="bench_app.tell")(lambda number: None)(1)
""",
    },
    "cloud": {
        "Google's client": _TASK
        + """
from google.auth.transport.requests import Request
client = CloudTasksClient()
client.transport._credentials.refresh(Request())
""",
        "adjourn": """
from dataclasses import replace
import google.auth
from google.auth.transport.requests import Request
app = adjourn.App(replace(settings, tasks_host=""))
app.wiring().adapters.queue.connect()
google.auth.default()[0].refresh(Request())
""",
    },
}


class Metadata(BaseHTTPRequestHandler):
    """Answers what Google's library asks the metadata server of an instance for."""

    def do_GET(self) -> None:
        """Answer a request."""
        token = b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}'
        account = b'{"email": "a@b.iam.gserviceaccount.com", "scopes": [], "aliases": []}'
        path = self.path.partition("?")[0]
        body = token if path.endswith("/token") else account if "service-acc" in path else b"bench"
        self.send_response(404 if path.endswith("universe-domain") else 200)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/json" if body[:1] == b"{" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(rounds: int) -> None:
    """Print the table."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with laptop("--memory") as stack:
        environ = _environ(stack.variables, f"127.0.0.1:{server.server_address[1]}")
        took: dict[tuple[str, str, str], list[float]] = {}
        for _ in range(rounds):
            for where, calls in _CALLS.items():
                for title, code in calls.items():
                    for aiohttp in ("without", "with"):
                        seconds = _measure(code, aiohttp, environ)
                        took.setdefault((where, title, aiohttp), []).append(seconds)
    print(f"{'':<26}{'best':>10}{'median':>10}{'with aiohttp, best':>22}")
    for (where, title, aiohttp), values in took.items():
        if aiohttp == "without":
            other = min(took[where, title, "with"])
            best, median = min(values) * 1000, statistics.median(values) * 1000
            name = f"{where}, {title}"
            print(f"{name:<26}{best:>7.1f} ms{median:>7.1f} ms{other * 1000:>19.1f} ms")


def _environ(variables: dict[str, str], metadata: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GOOGLE_", "ADJOURN_"))}
    return {
        **inherited,
        **variables,
        "GCE_METADATA_HOST": metadata,
        "GCE_METADATA_IP": metadata,
        "CLOUDSDK_CONFIG": "/nowhere",
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _measure(code: str, aiohttp: str, environ: dict[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + code + _END, aiohttp],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
