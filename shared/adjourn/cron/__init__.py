"""Periodic functions: what an application declares of them, and what becomes due when.

A call of Cloud Scheduler goes through `ticks` to `fanout`, which claims due times (`slots`) by what
was declared (`periodic`) and its `schedule`.
"""
