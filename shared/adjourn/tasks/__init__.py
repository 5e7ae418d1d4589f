"""Tasks that `@app.deferred` makes, their options, and how calls are enqueued."""
