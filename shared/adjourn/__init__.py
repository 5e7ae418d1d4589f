"""Deferred calls, cron fan-out and resumable Datastore iteration on Google Cloud."""
