"""An audit of Python packages: which of them had no release for three years?

A query iteration walks over all packages; each stale one makes a deferred call that records an
advisory; a periodic function writes the daily report.
"""

import datetime as dt
from functools import cache
from typing import Any

from google.cloud import datastore

import adjourn

TOP = 10

app = adjourn.App()


@cache
def client() -> datastore.Client:
    """Return this process's Datastore client, made on first use."""
    return datastore.Client()


def cutoff(today: dt.date) -> str:
    """Return the month three years ago: a last release before it is stale."""
    return f"{today.year - 3}-{today.month:02}"


@app.query_iter
class Audit(adjourn.QueryIter[datastore.Entity]):
    """Find the stale packages; `custom_data` has the cutoff month and the counts."""

    step_seconds = 1.0

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        """Judge one package."""
        last_release = entry["last_release"]
        if last_release is None:
            custom_data["undated"] += 1
        elif last_release < custom_data["cutoff"]:
            custom_data["stale"] += 1
            record_advisory(entry.key, entry["rank"], last_release)

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        """Keep the counts."""
        result = datastore.Entity(client().key("AuditResult", custom_data["cutoff"]))
        result.update(custom_data, audited=total_count)
        client().put(result)


@app.deferred(queue="advisories", max_retries=20)
def record_advisory(package: datastore.Key, rank: int, last_release: str) -> None:
    """Record that a package is stale; a repetition overwrites the same advisory."""
    advisory = datastore.Entity(client().key("Advisory", package.name))
    advisory.update({"package": package, "rank": rank, "last_release": last_release})
    client().put(advisory)


@app.periodic(interval=dt.timedelta(), cron_name="daily")  # whenever the job calls
def write_report() -> None:
    """Write the day's report: how many advisories there are and the highest-ranked packages."""
    query = client().query(kind="Advisory", order=["rank"])
    counting = client().aggregation_query(client().query(kind="Advisory")).count("n")
    report = datastore.Entity(client().key("Report", dt.datetime.now(dt.UTC).date().isoformat()))
    report["advisories"] = next(iter(counting.fetch()))[0].value
    report["top"] = [advisory.key.name for advisory in query.fetch(limit=TOP)]
    client().put(report)
