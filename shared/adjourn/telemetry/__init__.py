"""Spans and metrics by OpenTelemetry, in processes that use its SDK (`adjourn.log.is_observed`)."""

from __future__ import annotations
