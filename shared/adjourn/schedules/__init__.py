"""Schedules that an application makes at run time.

`Schedules` puts, finds and controls them, `StoredSchedule` is what is kept of each. `FanOut`
enqueues the runs that are due when Cloud Scheduler calls, as periodic functions are enqueued: by
the decisions of `adjourn.cron.due`.
"""
