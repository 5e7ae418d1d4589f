"""Run delivered calls: attempts, outcomes, retry warnings and dead letters."""
