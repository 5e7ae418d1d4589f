"""Import time of each function against a bare functions-framework hello function.

    python -m bench.imports [rounds]

Each import happens in a fresh interpreter, functions and hello in turn; the best of all rounds
counts, as noise only adds. Nothing of Google's clients may be loaded before it is used.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

HELLO = """
def hello(request):
    return "hello"
"""

APP = """
import adjourn

app = adjourn.App()


@app.deferred
def task() -> None: ...
"""

MEASURE = """
import sys, time
began = time.process_time()  # other work on the machine disturbs it least
import functions_framework
functions_framework.create_app(sys.argv[1], sys.argv[2])
print(time.process_time() - began)
clients = ("google.cloud.tasks", "google.cloud.datastore", "google.auth", "google.api_core", "grpc")
clients += ("opentelemetry", "adjourn.telemetry")
loaded = [name for name in clients if name in sys.modules]
assert not loaded, f"{loaded} loaded before use"
"""

ENVIRONMENT = {
    "ADJOURN_APP": "bench_app:app",
    "ADJOURN_PROJECT": "bench",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_SERVICE_ACCOUNT": "tasks@bench.iam.gserviceaccount.com",
    "ADJOURN_DEFERRED_URL": "https://deferred.example",
    "ADJOURN_QUERYITER_URL": "https://queryiter.example",
    "ADJOURN_CRON_URL": "https://cron.example",
}


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hello.py").write_text(HELLO)
        (folder / "bench_app.py").write_text(APP)
        sources = {"hello": folder / "hello.py"}
        for function in ("deferred", "cron", "queryiter"):
            sources[function] = ROOT / "functions" / function / "main.py"
        times: dict[str, list[float]] = {target: [] for target in sources}
        for _ in range(rounds):
            for target, source in sources.items():
                times[target].append(_measure(target, source, folder))
    hello = min(times["hello"])
    print(f"{'function':<12}{'best':>10}{'median':>10}{'against hello':>16}")
    for target, values in times.items():
        best, median = min(values) * 1000, statistics.median(values) * 1000
        print(f"{target:<12}{best:>7.1f} ms{median:>7.1f} ms{min(values) / hello:>15.2f}x")


def _measure(target: str, source: Path, folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, target, str(source)],
        # What is deployed is compiled, so what says not to keep compiled files is overruled.
        env={
            **os.environ,
            **ENVIRONMENT,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
