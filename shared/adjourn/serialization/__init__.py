"""The body of a task: values, envelopes and the context of a call, as versioned JSON."""
