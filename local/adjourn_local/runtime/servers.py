"""The servers of a stack over one state file: token issuer, Datastore, Tasks and Scheduler."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
from aiohttp import web

from adjourn_local.checkpoints import Checkpointer
from adjourn_local.datastore import (
    CompositeIndex,
    Concurrency,
    DatastoreServer,
    NeededIndexes,
)
from adjourn_local.http import locations
from adjourn_local.http.sender import Sender
from adjourn_local.scheduler.server import SchedulerServer
from adjourn_local.tasks.options import DEFAULTS, TasksOptions
from adjourn_local.tasks.server import TasksServer
from adjourn_local.timing.clocks import StackClock
from adjourn_local.tokens.issuer import TokenIssuer
from adjourn_local.tokens.user_tokens import user_token_routes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How the servers behave.

    Attributes:
        tasks: The options of Cloud Tasks.
        skips_overlapping: Skip a scheduled start of a job that is still running, instead of
            delaying the start.
        concurrency: The concurrency mode of Datastore's transactions.
        is_patient: Whether transactions stay open for as long as somebody debugs.
        declared_indexes: The composite indexes without which queries are refused; None to make
            what they need.
    """

    tasks: TasksOptions = DEFAULTS
    skips_overlapping: bool = False
    concurrency: Concurrency = Concurrency.PESSIMISTIC
    is_patient: bool = False
    declared_indexes: Collection[CompositeIndex] | None = None


class Servers:
    """The servers of one stack; they are created, started and closed together.

    Args:
        path: The state file.
        clock: The stack's clock.
        sender: Sends the requests of tasks and jobs; whoever created it closes it.
        options: How the servers behave.
    """

    def __init__(
        self, path: Path, clock: StackClock, sender: Sender, options: ServerOptions
    ) -> None:
        self.issuer = TokenIssuer(clock)
        with ExitStack() as opened:
            self._datastore = DatastoreServer(
                path,
                clock,
                concurrency=options.concurrency,
                is_patient=options.is_patient,
                declared_indexes=options.declared_indexes,
            )
            opened.callback(self._datastore.close)
            self.tasks = TasksServer(path, clock, self.issuer.token, sender, options.tasks)
            opened.callback(self.tasks.close)
            self.scheduler = SchedulerServer(
                path,
                clock,
                self.issuer.token,
                sender,
                app_engine=options.tasks.app_engine,
                skips_overlapping=options.skips_overlapping,
            )
            self._opened = opened.pop_all()
        self._checkpointer = Checkpointer(path)

    @property
    def needed_indexes(self) -> NeededIndexes:
        """What queries have needed of composite indexes."""
        return self._datastore.needed_indexes

    def move(self, bases: Mapping[str, str]) -> None:
        """Change the URLs of all tasks and jobs from former base URLs to new ones."""
        if bases:
            self.tasks.move(bases)
            self.scheduler.move(bases)

    def close(self) -> None:
        """Close the files of Datastore and Cloud Tasks; Cloud Scheduler's is closed by its stop."""
        self._opened.close()
        self._checkpointer.close()

    def grpc_services(self) -> Sequence[grpc.GenericRpcHandler]:
        """Return the gRPC services of all servers."""
        return [
            *self.tasks.grpc_services(),
            *self.scheduler.grpc_services(),
            locations.grpc_service(),
            self._datastore.grpc_service(),
        ]

    def http_routes(self) -> Sequence[web.RouteDef]:
        """Return the HTTP routes of all servers."""
        return [
            *self.issuer.routes(),
            *user_token_routes(self.issuer),
            *self.tasks.http_routes(),
            *self.scheduler.http_routes(),
            *locations.http_routes(),
            *self._datastore.http_routes(),
        ]
