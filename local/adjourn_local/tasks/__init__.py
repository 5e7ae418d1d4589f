"""A local Cloud Tasks v2 server: queues, dispatch over HTTP, retries and limits as documented."""

from adjourn_local.tasks.counters import Counters
from adjourn_local.tasks.options import TasksOptions
from adjourn_local.tasks.server import TasksServer
from adjourn_local.tokens.bearer import Mint

__all__ = ["Counters", "Mint", "TasksOptions", "TasksServer"]
