"""The content of digests. One statement reads the tasks of a batch of users."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, Q, QuerySet, Value, When, Window

from api.common.choices import OPEN_STATUSES, Role
from api.mail.text import quote_user_text
from api.tasks.models import Priority, Task, is_overdue, overdue
from api.users.models import User

DAYS_AHEAD = 2
LINES, TEAM_LINES = (
    50,
    25,
)  # per section; further tasks are only counted. Gmail cuts an email after 102 kB, so the footer would be lost.
_COLUMNS = ("id", "title", "priority", "status", "due_date", "modified_by_id", "modified_at")

OVERDUE, DUE_TODAY, DUE_SOON, CHANGED = "overdue", "due_today", "due_soon", "changed"
TEAM_OVERDUE, TEAM_UNASSIGNED = "team_overdue", "team_unassigned"
TITLES = {
    OVERDUE: "Overdue",
    DUE_TODAY: "Due today",
    DUE_SOON: "Due in the next two days",
    CHANGED: "New or changed",
    TEAM_OVERDUE: "Overdue in the team",
    TEAM_UNASSIGNED: "Unassigned tasks",
}


@dataclass(frozen=True)
class TaskLine:
    """One task. `due` is in the reader's time zone but without tzinfo, so that templates do not convert it."""

    title: str
    property_name: str
    priority: str
    status: str
    due: datetime


def _task_line(row: Mapping[str, Any], zone: ZoneInfo) -> TaskLine:
    return TaskLine(
        title=quote_user_text(row["title"]),
        property_name=quote_user_text(row["property_name"]),
        priority=Priority(row["priority"]).word,
        status=row["status"].replace("_", " "),
        due=row["due_date"].astimezone(zone).replace(tzinfo=None),
    )


@dataclass
class Section:
    """A titled list of tasks: the first lines and the total number."""

    name: str
    lines: list[TaskLine] = field(default_factory=list)
    total: int = 0

    def add(self, row: Mapping[str, Any], zone: ZoneInfo) -> None:
        self.total += 1
        if len(self.lines) < LINES:
            self.lines.append(_task_line(row, zone))

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def by_property(self) -> list[tuple[str, list[TaskLine]]]:
        """Return the lines grouped by property, ordered by property name."""
        groups: dict[str, list[TaskLine]] = {}
        for line in self.lines:
            groups.setdefault(line.property_name, []).append(line)
        return sorted(groups.items())

    @property
    def left_out(self) -> int:
        return self.total - len(self.lines)


@dataclass(frozen=True)
class Digest:
    """The content of one user's digest."""

    user: User
    day: date  # in the reader's time zone
    sections: list[Section]

    @property
    def counts(self) -> dict[str, int]:
        return {section.name: section.total for section in self.sections}


class TeamTasks:
    """The team sections for managers and superusers. The first access reads them for all digests of a run."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return _read_team_tasks(self._now)


class DigestBuilder:
    """Builds the digests of a batch of users.

    `last_sent_at` maps user ids to the time of their previous digest. An error in one user's data is raised only by
    that user's `digest_of`.
    """

    def __init__(
        self,
        users: Sequence[User],
        *,
        last_sent_at: Mapping[int, datetime],
        now: datetime,
        team: TeamTasks | None = None,
    ) -> None:
        self._team = team or TeamTasks(now)
        yesterday = now - timedelta(days=1)
        self._own_tasks = {user.pk: _OwnTasks(user, last_sent_at.get(user.pk, yesterday), now) for user in users}
        since = min((own_tasks.last_sent_at for own_tasks in self._own_tasks.values()), default=now)
        for row in _read_own_tasks(users, since=since, now=now):
            self._own_tasks[row["reader"]].add(row)

    def digest_of(self, user: User) -> Digest | None:
        """Return the digest of a user of the batch; None if it is empty."""
        own_tasks = self._own_tasks[user.pk]
        sections = own_tasks.sections()
        if user.role in {Role.MANAGER, Role.SUPERUSER}:
            sections += _team_sections(own_tasks.zone, self._team.rows)
        sections = [section for section in sections if section.lines]
        return Digest(user, own_tasks.today, sections) if sections else None


class _OwnTasks:
    """The sections with one user's own tasks."""

    def __init__(self, user: User, last_sent_at: datetime, now: datetime) -> None:
        self.user, self.last_sent_at, self.now = user, last_sent_at, now
        self._sections = {name: Section(name) for name in (OVERDUE, DUE_TODAY, DUE_SOON, CHANGED)}
        self._error: Exception | None = None

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.user.timezone)

    @cached_property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def add(self, row: dict[str, Any]) -> None:
        if self._error is not None:
            return
        try:
            name = self._section_of(row)
            if name is not None:
                self._sections[name].add(row, self.zone)
        except Exception as error:  # noqa: BLE001 - it must not affect the other users of the batch
            self._error = error

    def sections(self) -> list[Section]:
        if self._error is not None:
            raise self._error
        return list(self._sections.values())

    def _section_of(self, row: dict[str, Any]) -> str | None:
        if row["status"] in OPEN_STATUSES:
            if is_overdue(row["due_date"], row["status"], self.now):
                return OVERDUE
            days = (row["due_date"].astimezone(self.zone).date() - self.today).days
            if days <= DAYS_AHEAD:
                return DUE_TODAY if days == 0 else DUE_SOON
        has_changed = row["modified_at"] >= self.last_sent_at and row["modified_by_id"] != self.user.pk
        return CHANGED if has_changed else None


def _read_own_tasks(users: Sequence[User], *, since: datetime, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield rows of open tasks that are due soon and of tasks changed since `since`, each with its reader's id.

    Viewers read about tasks of their properties, all others about tasks assigned to them.
    """
    # One day more than DAYS_AHEAD, because each reader's time zone decides later.
    due = Q(status__in=OPEN_STATUSES, due_date__lt=now + timedelta(days=DAYS_AHEAD + 2))
    tasks = (
        Task.objects.filter(due | Q(modified_at__gte=since), deleted_at=None, property__deleted_at=None)
        .annotate(property_name=F("property__name"))
        .order_by()
    )
    owners = [user.pk for user in users if user.role == Role.VIEWER]
    assignees = [user.pk for user in users if user.role != Role.VIEWER]
    assigned, owned = (
        tasks.filter((f"{relation}__in", readers)).values(*_COLUMNS, "property_name", reader=F(relation))
        for relation, readers in (("assigned_to", assignees), ("property__owners", owners))
    )
    rows: QuerySet[Task, dict[str, Any]] = assigned.union(owned, all=True).order_by("due_date", "id")
    return rows.iterator()


def _read_team_tasks(now: datetime) -> list[dict[str, Any]]:
    """Return the first overdue and the first unassigned tasks; each row has the total number of its kind."""
    is_open = Q(status__in=OPEN_STATUSES)
    kind = Case(When(overdue(now), then=Value(TEAM_OVERDUE)), default=Value(TEAM_UNASSIGNED))
    ranked = (
        Task.objects.filter(is_open, overdue(now) | Q(assigned_to=None), deleted_at=None, property__deleted_at=None)
        .annotate(kind=kind, property_name=F("property__name"))
        .annotate(total=Window(Count("pk"), partition_by="kind"))
        .annotate(rank=Window(Count("pk"), partition_by="kind", order_by=[F("due_date").asc(), F("id").asc()]))
        .filter(rank__lte=TEAM_LINES)
        .order_by("due_date", "id")
    )
    return list(ranked.values(*_COLUMNS, "property_name", "kind", "total"))


def _team_sections(zone: ZoneInfo, rows: Sequence[dict[str, Any]]) -> list[Section]:
    sections = {name: Section(name) for name in (TEAM_OVERDUE, TEAM_UNASSIGNED)}
    for row in rows:
        section = sections[row["kind"]]
        section.add(row, zone)
        section.total = row["total"]
    return list(sections.values())
