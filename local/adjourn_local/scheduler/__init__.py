"""An embedded Cloud Scheduler v1: jobs with HTTP targets, cron schedules, retries as documented."""

from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tokens.bearer import Mint

__all__ = ["Mint", "SchedulerServer"]
