"""Format the functions' log lines for people."""

import json


def readable(line: str) -> str:
    """Return a structured log line as text; any other line unchanged."""
    try:
        fields = json.loads(line)
        text = f"{fields['severity']} {fields['message']}"
    except (ValueError, TypeError, KeyError):
        return line
    trace = fields.get("stack_trace", "").rstrip()
    return f"{text}\n{trace}" if trace else text
