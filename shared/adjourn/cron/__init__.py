"""Periodic functions: their declarations and schedules, and what is due at a call of the Scheduler.

`tick` receives a call of Cloud Scheduler, claims the slots that are due and enqueues their tasks.
`due` decides what is due, from the declaration (`periodic`) and its `schedule`. `expressions`
parses schedules.
"""
