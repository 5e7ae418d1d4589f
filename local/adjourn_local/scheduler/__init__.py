"""A local Cloud Scheduler v1 server: schedules, HTTP targets and retries as documented."""

from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tokens.bearer import Mint

__all__ = ["Mint", "SchedulerServer"]
