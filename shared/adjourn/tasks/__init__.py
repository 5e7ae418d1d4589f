"""Tasks: what `@app.deferred` makes, its options and handles, and how a call is enqueued."""
