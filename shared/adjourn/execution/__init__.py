"""Running a call that was delivered: attempts, outcomes, retry warnings and dead letters."""
