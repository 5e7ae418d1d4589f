"""State in Datastore: large payloads, once records and transaction markers."""
