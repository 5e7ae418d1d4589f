"""CPU time of a delivery to the deferred function against a bare function, without sockets.

    python -m bench.delivery [rounds]

Both are applications that functions-framework makes, called in this process as a server calls them
(PEP 3333). They take turns, and the best of all rounds counts: CPU time of the calling thread,
which other work on the machine disturbs little. The server's own work is not in it, nor what
threads cost each other; `bench.dispatch` measures both with all that.
"""

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import functions_framework

from adjourn_local.runtime.loop import LoopThread
from adjourn_local.timing.clocks import MachineClock
from adjourn_local.tokens.issuer import TokenIssuer
from bench.dispatch import CALLERS, HEADERS, call_body, serve_keys
from bench.imports import APP, ENVIRONMENT, HELLO, ROOT

_DELIVERIES = 50

Application = Callable[..., Iterable[bytes]]


def main(rounds: int) -> None:
    """Print the table."""
    issuer = TokenIssuer(MachineClock())
    with LoopThread() as loop, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.py").write_text(HELLO)
        (folder / "bench_app.py").write_text(APP)
        sys.path.insert(0, name)
        os.environ |= ENVIRONMENT
        os.environ["ADJOURN_CALLERS"] = ",".join(CALLERS)
        os.environ["ADJOURN_KEYS_URL"] = loop.run(serve_keys(issuer))
        tokens = [issuer.mint(email, ENVIRONMENT["ADJOURN_DEFERRED_URL"]) for email in CALLERS]
        hello = functions_framework.create_app("hello", str(folder / "main.py"))
        source = ROOT / "functions/deferred/main.py"
        deferred = functions_framework.create_app("deferred", str(source))
        targets: dict[str, tuple[Application, list[str]]] = {
            "hello": (hello, tokens[:1]),
            "deferred": (deferred, tokens[:1]),
            "deferred, new tokens": (deferred, tokens),
        }
        times: dict[str, list[float]] = {target: [] for target in targets}
        for number in range(rounds):
            for target, (application, some) in targets.items():
                times[target].append(_seconds(application, some, number * _DELIVERIES))
    best = {target: min(values) for target, values in times.items()}
    for target, seconds in best.items():
        print(f"{target:<22}{seconds * 1e6:>7.1f} us{seconds / best['hello']:>8.2f}x")


def _seconds(application: Application, tokens: list[str], first: int) -> float:
    """Return the CPU time of one of some deliveries."""
    body = call_body()
    some = [tokens[(first + each) % len(tokens)] for each in range(_DELIVERIES)]
    environs = [_environ(token, body) for token in some]
    began = time.thread_time()
    for environ in environs:
        _deliver(application, environ)
    return (time.thread_time() - began) / _DELIVERIES


def _deliver(application: Application, environ: dict[str, Any]) -> None:
    statuses: list[str] = []
    answer = application(environ, lambda status, _headers, _error=None: statuses.append(status))
    for _ in answer:
        pass
    if close := getattr(answer, "close", None):
        close()
    if statuses[0][:3] not in {"200", "204"}:
        raise SystemExit(f"a delivery was answered {statuses[0]}")


def _environ(token: str, body: bytes) -> dict[str, Any]:
    """Return the environment that gunicorn would make."""
    headers = {**HEADERS, "Host": "127.0.0.1:8080", "Authorization": f"Bearer {token}"}
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        **named,
        "CONTENT_TYPE": named.pop("HTTP_CONTENT_TYPE"),
        "CONTENT_LENGTH": str(len(body)),
        "PATH_INFO": "/bench_app.task",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": False,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
