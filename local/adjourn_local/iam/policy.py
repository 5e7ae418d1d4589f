"""Who has which role on what, and what follows from that."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from adjourn_local.errors import StackError
from adjourn_local.iam.roles import ROLES, SERVICES

_CONDITION = re.compile(
    r'resource\.name(?: == "(?P<name>[^"]+)"|\.startsWith\("(?P<prefix>[^"]+)"\))'
)


class Need(NamedTuple):
    """A permission without which a call is refused.

    Attributes:
        permission: Such as `cloudtasks.tasks.create`.
        resource: On what: the full name of a queue, a task, a database, an account.
    """

    permission: str
    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One grant.

    Attributes:
        member: Whom it is for, such as `serviceAccount:cron@shop.iam.gserviceaccount.com`.
        role: Such as `roles/cloudtasks.viewer`.
        resource: On what, and all that belongs to it: `projects/shop`, a queue, an account.
        condition: An expression that narrows it down; "" without one.
    """

    member: str
    role: str
    resource: str
    condition: str = ""

    def __post_init__(self) -> None:
        """Refuse what could only be guessed at.

        Raises:
            StackError: The role's permissions or the condition's meaning are not known here.
        """
        service = self.role.removeprefix("roles/").partition(".")[0]
        if service in SERVICES and self.role not in ROLES:
            raise StackError(f"{self.role}: its permissions are not in adjourn_local.iam.roles.")
        if self.condition and not _CONDITION.fullmatch(self.condition):
            raise StackError(f"The condition {self.condition} of {self.role} cannot be evaluated.")

    def grants(self, need: Need) -> bool:
        """Whether it gives the permission that a call needs."""
        return (
            need.permission in ROLES.get(self.role, ())
            and f"{need.resource}/".startswith(f"{self.resource}/")
            and self._applies(need.resource)
        )

    def _applies(self, resource: str) -> bool:
        found = _CONDITION.fullmatch(self.condition)
        if found is None:
            return True
        name, prefix = found["name"], found["prefix"]
        return resource == name if name else resource.startswith(prefix)


@dataclass(frozen=True, slots=True)
class Policy:
    """All grants of a project."""

    bindings: Collection[Binding] = ()

    def missing(self, member: str, needs: Iterable[Need]) -> Need | None:
        """Return the first of some needs that no grant to a member covers, None if all are."""
        own = [each for each in self.bindings if each.member == member]
        return next((n for n in needs if not any(each.grants(n) for each in own)), None)
