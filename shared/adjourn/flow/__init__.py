"""Flow control: limits for calls with the same key, kept across all processes."""
