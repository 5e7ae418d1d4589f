"""Debounced and throttled calls: of those in a window one runs, with the last arguments.

`CollectedCalls` makes the calls. The first one opens a window, whose task waits for the end; the
others leave their arguments in a record. At the end `Collector` enqueues the last call.
"""
