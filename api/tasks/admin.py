"""Tasks in the admin sites."""

from collections.abc import Callable
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from api.adminkit.change_list import DateRangeFilter
from api.adminkit.fields import RelatedChoiceField, RelatedMultipleChoiceField, RelatedSelect, RelatedSelectMultiple
from api.adminkit.model_admin import DeletedFilter, SoftDeletingAdmin, selectable_rows
from api.common.choices import EARLIEST, LATEST, OPEN_STATUSES, TaskStatus
from api.tasks import services
from api.tasks.admin_list import OPEN_FIRST, OpenFirstPaginator, search_tasks
from api.tasks.models import Priority, Task, overdue
from api.tasks.selectors import FILTERS
from api.users.models import User
from api.users.selectors import actor_of

_DUE: dict[str | None, tuple[str, Callable[[datetime, datetime, timedelta], Q]]] = {
    "overdue": ("Overdue", lambda now, today, day: overdue(now)),
    "today": ("Due today", lambda now, today, day: Q(due_date__gte=today, due_date__lt=today + day)),
    "week": ("Due within seven days", lambda now, today, day: Q(due_date__gte=today, due_date__lt=today + 7 * day)),
}


class DueFilter(admin.SimpleListFilter):
    """Filters open tasks by due date, in the time zone of the signed-in user."""

    title = "due"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(name), title) for name, (title, _) in _DUE.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task] | None:
        if self.value() not in _DUE:
            return None
        now = timezone.now()
        today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        condition = _DUE[self.value()][1](now, today, timedelta(days=1))
        return queryset.filter(condition, status__in=OPEN_STATUSES)


class AssignedFilter(admin.SimpleListFilter):
    """Filters the signed-in user's tasks or unassigned tasks."""

    title = "assignee"
    parameter_name = "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "Assigned to me"), ("none", "Unassigned")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task] | None:
        values: dict[str | None, int | None] = {"me": request.user.pk, "none": None}
        return queryset.filter(assigned_to=values[self.value()]) if self.value() in values else None


class TaskForm(forms.ModelForm):
    dependencies = RelatedMultipleChoiceField(
        Task.objects.filter(deleted_at=None, property__deleted_at=None),
        required=False,
        label="Depends on",
        help_text="This task can be completed only after these tasks.",
    )

    class Meta:
        model = Task
        fields = ("title", "description", "task_type", "priority", "property", "assigned_to", "due_date")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "dependencies" in self.fields:
            self.fields["dependencies"].initial = self.instance.depends_on.all()

    def clean_due_date(self) -> datetime:
        due_date: datetime = self.cleaned_data["due_date"]
        if not EARLIEST <= due_date < LATEST:
            raise forms.ValidationError("The year must be from 2000 to 2100.", code="out_of_range")
        return due_date


class TaskAdmin(SoftDeletingAdmin):
    domain = "tasks"
    filters = FILTERS
    form = TaskForm
    list_display = ("title", "property", "assigned_to", "displayed_status", "displayed_priority", "displayed_due_date")
    list_filter = (
        DueFilter,
        AssignedFilter,
        "status",
        "priority",
        "task_type",
        DeletedFilter,
        ("due_date", DateRangeFilter),
    )
    list_select_related = ("property", "assigned_to")
    search_fields = ("title", "description", "property__name")
    ordering = (OPEN_FIRST, "due_date", "id")
    paginator = OpenFirstPaginator
    secondary_ordering = {"property": "due_date", "assigned_to": "due_date", "status": "due_date"}
    autocomplete_fields = ("property", "assigned_to")
    readonly_fields = ("status", "started_at", "completed_at", "created_by", "created_at", "modified_by", "modified_at")
    actions = ("assign", "unassign", "start", "complete", "cancel", "reopen", "restore")
    fieldsets = (
        (None, {"fields": ("title", "description", ("task_type", "priority"), "property", "assigned_to", "due_date")}),
        ("Depends on", {"classes": ("collapse",), "fields": ("dependencies",)}),
        (
            "State",
            {
                "fields": (
                    ("status", "started_at", "completed_at"),
                    ("created_by", "created_at"),
                    ("modified_by", "modified_at"),
                )
            },
        ),
    )

    def __init__(self, model: type[Task], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        assignee = Task._meta.get_field("assigned_to")
        field = RelatedChoiceField(
            User.objects.all(), required=False, label="Assignee", widget=RelatedSelect(assignee, admin_site)
        )
        self.action_form = type(  # type: ignore[misc]
            "TaskActionForm", (ActionForm,), {"assigned_to": field}
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        form = super().get_form(request, obj, change=change, **kwargs)
        if "dependencies" in form.base_fields:
            # Both sites share the declared field: change a copy.
            field = form.base_fields["dependencies"] = copy(form.base_fields["dependencies"])
            field.widget = RelatedSelectMultiple(Task._meta.get_field("depends_on"), self.admin_site)
        return form

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        return super().get_queryset(request).filter(property__deleted_at=None)

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return the ordering without `open first` if the list is filtered by status or due date."""
        return self.ordering[1:] if {"status", "status__exact", "due"} & request.GET.keys() else self.ordering

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Task], search_term: str) -> Any:
        tasks, may_have_duplicates = super().get_search_results(request, queryset, "")
        return search_tasks(tasks, search_term), may_have_duplicates

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:2]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def create_object(self, request: HttpRequest, values: dict[str, Any]) -> Task:
        return services.create_task(actor=actor_of(request), **_service_values(values))

    def update_object(self, request: HttpRequest, pk: int, values: dict[str, Any]) -> Task:
        return services.update_task(actor=actor_of(request), task_id=pk, **_service_values(values))

    def delete_row(self, request: HttpRequest, obj: Task) -> None:
        services.delete_task(actor=actor_of(request), task_id=obj.pk)

    @admin.display(description="status", ordering="status")
    def displayed_status(self, task: Task) -> str:
        return format_html('<span class="cosmo-status cosmo-{}">{}</span>', task.status, task.get_status_display())

    @admin.display(description="priority", ordering="priority")
    def displayed_priority(self, task: Task) -> str:
        return format_html(
            '<span class="cosmo-{}">{}</span>', Priority(task.priority).word, task.get_priority_display()
        )

    @admin.display(description="due", ordering="due_date")
    def displayed_due_date(self, task: Task) -> str:
        due_date = f"{timezone.localtime(task.due_date):%a %d %b %Y, %H:%M}"
        due = format_html('<span class="cosmo-due">{}</span>', due_date)
        return format_html('<span class="cosmo-overdue">{} overdue</span>', due) if task.is_overdue else due

    @admin.action(description="Assign to user")
    def assign(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        form = self.action_form(request.POST)
        form.fields["action"].choices = self.get_action_choices(request)
        form.fields["assigned_to"].queryset = User.objects.filter(selectable_rows(self.admin_site, request, User))
        assignee = form.cleaned_data["assigned_to"] if form.is_valid() else None
        if assignee is None:
            messages.error(request, "Nothing was assigned. Choose a user next to the action.")
            return
        self._assign(request, queryset, assignee, f"assigned to {assignee}")

    @admin.action(description="Unassign")
    def unassign(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._assign(request, queryset, None, "unassigned")

    def _assign(self, request: HttpRequest, tasks: QuerySet[Task], assignee: User | None, past_participle: str) -> None:
        def change(task: Task) -> None:
            services.assign_task(actor=actor_of(request), task_id=task.pk, assigned_to=assignee)

        self.apply_to_each(request, tasks, change, past_participle)

    @admin.action(description="Start")
    def start(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._change_status(request, queryset, TaskStatus.IN_PROGRESS, "started")

    @admin.action(description="Complete")
    def complete(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._change_status(request, queryset, TaskStatus.COMPLETED, "completed")

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._change_status(request, queryset, TaskStatus.CANCELED, "canceled")

    @admin.action(description="Reopen")
    def reopen(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._change_status(request, queryset, TaskStatus.PENDING, "reopened")

    @admin.action(description="Restore deleted")
    def restore(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        def change(task: Task) -> None:
            services.restore_task(actor=actor_of(request), task_id=task.pk)

        self.apply_to_each(request, queryset, change, "restored")

    def _change_status(self, request: HttpRequest, tasks: QuerySet[Task], status: str, past_participle: str) -> None:
        def change(task: Task) -> None:
            services.change_status(actor=actor_of(request), task_id=task.pk, status=status)

        self.apply_to_each(request, tasks, change, past_participle)


def _service_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return a form's values with the tasks of `dependencies` as ids in `depends_on`."""
    if "dependencies" not in values:
        return values
    others = {name: value for name, value in values.items() if name != "dependencies"}
    return others | {"depends_on": [task.pk for task in values["dependencies"]]}
