"""Run Cloud Tasks, Cloud Scheduler, Datastore and a token issuer on loopback, for adjourn."""
