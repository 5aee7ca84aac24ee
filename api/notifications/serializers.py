"""Notifications in JSON."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from api.notifications.models import Kind, Notification
from api.rest.fields import ChangesField
from api.rest.query_params import BooleanParameter, PaginationParams

EXAMPLE = {
    "id": 311,
    "kind": "due_date_changed",
    "task": 42,
    "task_name": "Change the linen",
    "actor": 2,
    "actor_name": "Max Manager",
    "changes": {"due_date": ["2026-05-31T15:00:00Z", "2026-05-31T12:00:00Z"]},
    "read_at": None,
    "created_at": "2026-05-30T08:00:00Z",
}


@extend_schema_serializer(examples=[OpenApiExample("A notification", value=EXAMPLE, response_only=True)])
class NotificationSerializer(serializers.ModelSerializer[Notification]):
    kind = serializers.ChoiceField(choices=Kind.choices)
    task = serializers.IntegerField(source="task_id")
    task_name = serializers.CharField(source="task_title", help_text="The title at that time.")
    actor = serializers.IntegerField(source="actor_id", allow_null=True)
    changes = ChangesField()

    class Meta:
        model = Notification
        fields = ("id", "kind", "task", "task_name", "actor", "actor_name", "changes", "read_at", "created_at")


class UnreadCountSerializer(serializers.Serializer[Any]):
    unread_count = serializers.IntegerField()


class NotificationListParams(PaginationParams):
    unread = BooleanParameter(required=False)
