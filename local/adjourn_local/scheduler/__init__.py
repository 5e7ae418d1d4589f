"""An embedded Cloud Scheduler v1: jobs with HTTP targets, cron schedules, retries as documented."""

from adjourn_local.bearer import Mint
from adjourn_local.scheduler.server import SchedulerServer

__all__ = ["Mint", "SchedulerServer"]
