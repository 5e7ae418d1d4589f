"""What a console shows: a deployment, seen through counted adapters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from google.cloud.tasks_v2 import CloudTasksClient

from adjourn import App
from adjourn.application.wiring import Wiring
from adjourn.execution.replay import StoredDeadLetters
from adjourn.iteration.control import Runs
from adjourn.ports import Adapters
from adjourn.settings import Settings
from adjourn_local.clients.queues import Queues
from adjourn_local.clients.stack_control import StackControl
from adjourn_local.console.activity import Activity
from adjourn_local.console.audit import Audit
from adjourn_local.console.costs import spend
from adjourn_local.console.entities import Entities
from adjourn_local.console.records import Records


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployment:
    """A laptop stack or a project, as the console sees it.

    Attributes:
        settings: Which deployment it is.
        adapters: Its services; they count what a page costs.
        records: Counts and pages of stored records.
        entities: All entities, the application's included.
        tasks_client: Returns the client of Cloud Tasks.
        environ: The variables from which the settings were read.
        audit: Where changes are written down.
        app: The application; None if it is not known.
        control: Clock and faults of a laptop stack; None for a project.
        activity: What a laptop stack has seen; None elsewhere.
        troubles: Returns what keeps a laptop stack from running tasks by the present code.
    """

    settings: Settings
    adapters: Adapters
    records: Records
    entities: Entities
    tasks_client: Callable[[], CloudTasksClient]
    environ: Mapping[str, str]
    audit: Audit
    app: App | None
    control: StackControl | None
    activity: Activity | None
    troubles: Callable[[], Sequence[str]] = tuple

    @property
    def is_writable(self) -> bool:
        """Whether the console may change anything: only in somebody's name."""
        return bool(self.audit.who)

    @property
    def dead_letters(self) -> StoredDeadLetters:
        """The dead letters."""
        adapters = self.adapters
        return StoredDeadLetters.of(adapters)

    @property
    def queues(self) -> Queues:
        """The queues of the region."""
        return Queues(
            client=self.tasks_client,
            parent=f"projects/{self.settings.project}/locations/{self.settings.location}",
            count=lambda number: spend(tasks=number),
            sealer=self.adapters.sealer,
        )

    @property
    def runs(self) -> Runs:
        """The runs of iterations."""
        return Runs(adapters=self.adapters)

    @property
    def wiring(self) -> Wiring | None:
        """The services of the application, counted; None without an application."""
        if self.app is None:
            return None
        declared = self.app._declared  # noqa: SLF001 - of our own package
        return Wiring(declared, self.settings, self.adapters)
