"""What stands in somebody's digest: read for a hundred people at a time, in one statement for all their tasks."""

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
LINES, TEAM_LINES = 50, 25  # of each section; the rest is counted. Gmail cuts a mail after 102 kB, its footer first.
_COLUMNS = ("id", "title", "priority", "status", "due_date", "modified_by_id", "modified_at")

OVERDUE, TODAY, SOON, CHANGED = "overdue", "due_today", "due_soon", "changed"
TEAM_OVERDUE, TEAM_UNASSIGNED = "team_overdue", "team_unassigned"
TITLES = {
    OVERDUE: "Overdue",
    TODAY: "Due today",
    SOON: "Due in the next two days",
    CHANGED: "New or changed",
    TEAM_OVERDUE: "The team's overdue tasks",
    TEAM_UNASSIGNED: "Tasks that nobody has",
}


@dataclass(frozen=True)
class TaskLine:
    """One task. `due` is what the reader's clock shows, without a zone, so that templates leave it as it is."""

    title: str
    house: str
    priority: str
    status: str
    due: datetime


def _line(row: Mapping[str, Any], zone: ZoneInfo) -> TaskLine:
    return TaskLine(
        title=quote_user_text(row["title"]),
        house=quote_user_text(row["house"]),
        priority=Priority(row["priority"]).word,
        status=row["status"].replace("_", " "),
        due=row["due_date"].astimezone(zone).replace(tzinfo=None),
    )


@dataclass
class Section:
    name: str
    lines: list[TaskLine] = field(default_factory=list)
    total: int = 0

    def add(self, row: Mapping[str, Any], zone: ZoneInfo) -> None:
        self.total += 1
        if len(self.lines) < LINES:
            self.lines.append(_line(row, zone))

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def by_house(self) -> list[tuple[str, list[TaskLine]]]:
        """The lines grouped by property, in the order of the names."""
        houses: dict[str, list[TaskLine]] = {}
        for line in self.lines:
            houses.setdefault(line.house, []).append(line)
        return sorted(houses.items())

    @property
    def left_out(self) -> int:
        return self.total - len(self.lines)


@dataclass(frozen=True)
class Digest:
    user: User
    day: date  # of the reader
    sections: list[Section]

    @property
    def counts(self) -> dict[str, int]:
        return {section.name: section.total for section in self.sections}


class TeamTasks:
    """What managers read beside their own tasks; read once for all of them, when the first one needs it."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return _team(self._now)


class DigestBuilder:
    """What a batch of people reads: their tasks are read at once, and kept only as far as they are shown.

    `last` is when each was told before. Whatever is wrong with one person is raised when it is his turn.
    """

    def __init__(
        self, users: Sequence[User], *, last: Mapping[int, datetime], now: datetime, team: TeamTasks | None = None
    ) -> None:
        self._team = team or TeamTasks(now)
        self._pages = {user.pk: _DigestPage(user, last.get(user.pk, now - timedelta(days=1)), now) for user in users}
        since = min((page.told for page in self._pages.values()), default=now)
        for row in _tasks_of(users, since=since, now=now):
            self._pages[row["reader"]].take(row)

    def digest_of(self, user: User) -> Digest | None:
        """None if there is nothing to read."""
        page = self._pages[user.pk]
        sections = page.sections()
        if user.role in {Role.MANAGER, Role.SUPERUSER}:
            sections += _of_team(page.zone, self._team.rows)
        sections = [section for section in sections if section.lines]
        return Digest(user, page.today, sections) if sections else None


class _DigestPage:
    """One person's own tasks."""

    def __init__(self, user: User, told: datetime, now: datetime) -> None:
        self.user, self.told, self.now = user, told, now
        self._sections = {name: Section(name) for name in (OVERDUE, TODAY, SOON, CHANGED)}
        self._fault: Exception | None = None

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.user.timezone)

    @cached_property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def take(self, row: dict[str, Any]) -> None:
        if self._fault is not None:
            return
        try:
            name = self._section_of(row)
            if name is not None:
                self._sections[name].add(row, self.zone)
        except Exception as error:  # noqa: BLE001 - the others of the batch have theirs
            self._fault = error

    def sections(self) -> list[Section]:
        if self._fault is not None:
            raise self._fault
        return list(self._sections.values())

    def _section_of(self, row: dict[str, Any]) -> str | None:
        if row["status"] in OPEN_STATUSES:
            if is_overdue(row["due_date"], row["status"], self.now):
                return OVERDUE
            days = (row["due_date"].astimezone(self.zone).date() - self.today).days
            if days <= DAYS_AHEAD:
                return TODAY if days == 0 else SOON
        has_changed = row["modified_at"] >= self.told and row["modified_by_id"] != self.user.pk
        return CHANGED if has_changed else None


def _tasks_of(users: Sequence[User], *, since: datetime, now: datetime) -> Iterator[dict[str, Any]]:
    """Open tasks until the day after the last one that counts anywhere on earth, and what changed; by reader.

    The crew and managers read of what is theirs to do, owners of what is to be done at their properties.
    """
    due = Q(status__in=OPEN_STATUSES, due_date__lt=now + timedelta(days=DAYS_AHEAD + 2))
    tasks = (
        Task.objects.filter(due | Q(modified_at__gte=since), deleted_at=None, property__deleted_at=None)
        .annotate(house=F("property__name"))
        .order_by()
    )
    owners = [user.pk for user in users if user.role == Role.VIEWER]
    workers = [user.pk for user in users if user.role != Role.VIEWER]
    done_by, owned_by = (
        tasks.filter((f"{way}__in", readers)).values(*_COLUMNS, "house", reader=F(way))
        for way, readers in (("assigned_to", workers), ("property__owners", owners))
    )
    rows: QuerySet[Task, dict[str, Any]] = done_by.union(owned_by, all=True).order_by("due_date", "id")
    return rows.iterator()


def _team(now: datetime) -> list[dict[str, Any]]:
    """The first overdue and the first unassigned tasks of all, each row with how many there are of its kind."""
    is_open = Q(status__in=OPEN_STATUSES)
    kind = Case(When(overdue(now), then=Value(TEAM_OVERDUE)), default=Value(TEAM_UNASSIGNED))
    ranked = (
        Task.objects.filter(is_open, overdue(now) | Q(assigned_to=None), deleted_at=None, property__deleted_at=None)
        .annotate(kind=kind, house=F("property__name"))
        .annotate(total=Window(Count("pk"), partition_by="kind"))
        .annotate(place=Window(Count("pk"), partition_by="kind", order_by=[F("due_date").asc(), F("id").asc()]))
        .filter(place__lte=TEAM_LINES)
        .order_by("due_date", "id")
    )
    return list(ranked.values(*_COLUMNS, "house", "kind", "total"))


def _of_team(zone: ZoneInfo, rows: Sequence[dict[str, Any]]) -> list[Section]:
    sections = {name: Section(name) for name in (TEAM_OVERDUE, TEAM_UNASSIGNED)}
    for row in rows:
        section = sections[row["kind"]]
        section.add(row, zone)
        section.total = row["total"]
    return list(sections.values())
