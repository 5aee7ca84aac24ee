"""Serializers and query parameters of tasks."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from api.audit.events import Event
from api.common.choices import TaskStatus
from api.properties.models import Property
from api.rest.fields import ChangesField, IdListField, RelatedIdField, RFC3339DateTimeField, StrictChoiceField
from api.rest.query_params import (
    BooleanParameter,
    ChoiceParameter,
    IdParameter,
    ListParams,
    MultipleChoiceParameter,
    OrderingParameter,
    QueryParamsSerializer,
    SearchParameter,
)
from api.rest.serializers import StrictModelSerializer, StrictSerializer
from api.tasks.models import Priority, Task, TaskType
from api.tasks.selectors import NO_ASSIGNEE, visible_assignees
from api.users.models import User
from backend.http.converters import MAX_ID

PRIORITY_WORDS = [priority.word for priority in Priority]
_NEW_TASK = {
    "title": "Change the linen",
    "description": "Two sets, in the cupboard of the hall.",
    "task_type": "laundry",
    "priority": "high",
    "property": 3,
    "assigned_to": 7,
    "due_date": "2026-05-31T15:00:00Z",
    "depends_on": [],
}
EXAMPLE = {
    "id": 42,
    **_NEW_TASK,
    "depends_on_name": [],
    "status": "in_progress",
    "property_name": "Sea View 4",
    "assigned_to_name": "Ada Lovelace",
    "started_at": "2026-05-31T13:05:00Z",
    "completed_at": None,
    "is_overdue": False,
    "created_by": 2,
    "created_by_name": "Max Manager",
    "modified_by": 7,
    "modified_by_name": "Ada Lovelace",
    "created_at": "2026-05-30T08:00:00Z",
    "modified_at": "2026-05-31T13:05:00Z",
}


@extend_schema_field({"type": "string", "enum": PRIORITY_WORDS})
class PriorityField(StrictChoiceField):
    """A priority by its name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=PRIORITY_WORDS, **kwargs)

    def to_internal_value(self, data: Any) -> int:  # type: ignore[override]
        return Priority[super().to_internal_value(data).upper()].value

    def to_representation(self, value: int) -> str:  # type: ignore[override]
        return Priority(value).word


class AssigneeField(RelatedIdField):
    """The id of a user that the reader can see, or of the current assignee."""

    default_error_messages = {"does_not_exist": NO_ASSIGNEE}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(queryset=User.objects.all(), **kwargs)

    def get_queryset(self) -> QuerySet[User]:
        return visible_assignees(self.context["reader"], task=getattr(self.parent, "instance", None))


@extend_schema_serializer(
    examples=[
        OpenApiExample("A task", value=EXAMPLE, response_only=True),
        OpenApiExample("A new task", value=_NEW_TASK, request_only=True),
    ]
)
class TaskSerializer(StrictModelSerializer):
    """Validates request bodies and describes responses in the schema. `selectors.read_tasks` builds the responses."""

    priority = PriorityField(required=False, help_text="Default: medium.")
    property = RelatedIdField(queryset=Property.objects.filter(deleted_at=None), noun="property")
    property_name = serializers.CharField(source="property.name", read_only=True)
    assigned_to = AssigneeField(allow_null=True, required=False)
    assigned_to_name = serializers.CharField(
        source="assigned_to.display_name", allow_null=True, read_only=True, default=None
    )
    due_date = RFC3339DateTimeField()
    is_overdue = serializers.BooleanField(read_only=True)
    depends_on = IdListField(max_length=100, required=False, help_text="Ids of tasks.")
    depends_on_name = serializers.ListField(
        child=serializers.CharField(allow_null=True),
        read_only=True,
        help_text="Titles; null for a task that you cannot see.",
    )
    created_by = serializers.IntegerField(source="created_by_id", read_only=True)
    created_by_name = serializers.CharField(source="created_by.display_name", read_only=True)
    modified_by = serializers.IntegerField(source="modified_by_id", read_only=True)
    modified_by_name = serializers.CharField(source="modified_by.display_name", read_only=True)

    read_only_hints: ClassVar = {"status": "To change it, use POST /api/tasks/{id}/status/."}

    class Meta:
        model = Task
        fields = (
            "id",
            "title",
            "description",
            "task_type",
            "status",
            "priority",
            "property",
            "property_name",
            "assigned_to",
            "assigned_to_name",
            "due_date",
            "started_at",
            "completed_at",
            "is_overdue",
            "depends_on",
            "depends_on_name",
            "created_by",
            "created_by_name",
            "modified_by",
            "modified_by_name",
            "created_at",
            "modified_at",
        )
        read_only_fields = ("id", "status", "started_at", "completed_at", "created_at", "modified_at")


class StatusSerializer(StrictSerializer):
    status = StrictChoiceField(choices=TaskStatus.choices)


class AssignSerializer(StrictSerializer):
    assigned_to = AssigneeField(allow_null=True)


class CountsSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_task_type = serializers.DictField(child=serializers.IntegerField())
    by_priority = serializers.DictField(child=serializers.IntegerField())
    overdue = serializers.IntegerField()
    due_today = serializers.IntegerField(help_text="Open tasks that are due today in your time zone.")


class HistoryEntrySerializer(serializers.Serializer[Any]):
    """Describes a history entry in the schema. `history.TaskHistory` builds the responses."""

    id = serializers.IntegerField()
    event = serializers.ChoiceField(choices=Event.choices)
    actor = serializers.IntegerField(allow_null=True)
    actor_name = serializers.CharField(
        help_text="For managers and superusers the username and role at that time, otherwise the current display name."
    )
    changes = ChangesField(help_text="A value is also null if you could not see the task at that time.")
    at = serializers.DateTimeField()


@extend_schema_field(
    {"oneOf": [{"type": "integer", "minimum": 1, "maximum": MAX_ID}, {"type": "string", "enum": ["me", "none"]}]}
)
class AssigneeParameter(IdParameter):
    """An id, `me` or `none`."""

    def to_internal_value(self, data: str) -> int | str:  # type: ignore[override]
        return data if data in {"me", "none"} else super().to_internal_value(data)


class TaskFilterParams(QueryParamsSerializer):
    search = SearchParameter(required=False)
    property = IdParameter(required=False)
    status = MultipleChoiceParameter(choices=TaskStatus.choices, required=False, help_text="Repeatable.")
    task_type = ChoiceParameter(choices=TaskType.choices, required=False)
    priority = PriorityField(required=False)
    assigned_to = AssigneeParameter(required=False, help_text="An id, me or none.")
    created_by = IdParameter(required=False)
    due_after = RFC3339DateTimeField(required=False, help_text="Inclusive.")
    due_before = RFC3339DateTimeField(required=False, help_text="Exclusive.")
    overdue = BooleanParameter(required=False)
    modified_since = RFC3339DateTimeField(required=False)
    deleted = BooleanParameter(
        required=False, help_text="Only deleted tasks that can be restored; managers and superusers only."
    )


class TaskListParams(TaskFilterParams, ListParams):
    ordering = OrderingParameter(
        ("due_date", "priority", "status", "created_at", "modified_at", "title", "id"), required=False
    )
