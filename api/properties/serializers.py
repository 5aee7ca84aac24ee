"""Properties in JSON."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from api.properties.models import Property, PropertyType
from api.properties.selectors import open_task_counts
from api.rest.fields import IdListField
from api.rest.query_params import BooleanParameter, IdParameter, ListParams, OrderingParameter
from api.rest.serializers import StrictModelSerializer
from api.users.models import User

_NEW = {
    "name": "Sea View 4",
    "address": "4 Harbour Road, Portland, ME 04101",
    "property_type": "apartment",
    "timezone": "America/New_York",
    "access_notes": "Key box left of the door.",
    "owners": [12],
}
EXAMPLE = {
    "id": 3,
    **_NEW,
    "owners_name": ["Olga Owner"],
    "is_active": True,
    "open_task_count": 2,
    "created_by": 2,
    "created_by_name": "Max Manager",
    "modified_by": 2,
    "modified_by_name": "Max Manager",
    "created_at": "2026-05-01T09:00:00Z",
    "modified_at": "2026-05-01T09:00:00Z",
}


class _OwnersField(IdListField):
    def get_attribute(self, instance: Property) -> list[int]:
        return [owner.pk for owner in _owners(instance)]


class _PropertyList(serializers.ListSerializer[Any]):
    """Counts the open tasks of all its properties in one query."""

    def to_representation(self, data: Any) -> Any:
        rows = list(data)
        counts = open_task_counts(row.pk for row in rows)
        self.context["open_task_counts"] = counts  # type: ignore[index]
        return super().to_representation(rows)


@extend_schema_serializer(
    examples=[
        OpenApiExample("A property", value=EXAMPLE, response_only=True),
        OpenApiExample("A new property", value=_NEW, request_only=True),
    ]
)
class PropertySerializer(StrictModelSerializer):
    owners = _OwnersField(max_length=50, required=False, help_text="Ids of users.")
    owners_name = serializers.SerializerMethodField(help_text="In the order of owners.")
    created_by = serializers.IntegerField(source="created_by_id", read_only=True)
    created_by_name = serializers.CharField(source="created_by.display_name", read_only=True)
    modified_by = serializers.IntegerField(source="modified_by_id", read_only=True)
    modified_by_name = serializers.CharField(source="modified_by.display_name", read_only=True)
    open_task_count = serializers.SerializerMethodField(help_text="Pending and in progress.")

    class Meta:
        model = Property
        list_serializer_class = _PropertyList
        fields = (
            "id",
            "name",
            "address",
            "property_type",
            "timezone",
            "access_notes",
            "owners",
            "owners_name",
            "is_active",
            "open_task_count",
            "created_by",
            "created_by_name",
            "modified_by",
            "modified_by_name",
            "created_at",
            "modified_at",
        )
        read_only_fields = ("id", "created_at", "modified_at")

    def get_owners_name(self, row: Property) -> list[str]:
        return [owner.display_name for owner in _owners(row)]

    def get_open_task_count(self, row: Property) -> int:
        counts = self.context.get("open_task_counts") or open_task_counts([row.pk])
        return int(counts[row.pk])


def _owners(row: Property) -> list[User]:
    return sorted(row.owners.all(), key=lambda owner: owner.pk)


class PropertyListParams(ListParams):
    property_type = serializers.ChoiceField(choices=PropertyType.choices, required=False)
    is_active = BooleanParameter(required=False)
    owner = IdParameter(required=False)
    deleted = BooleanParameter(required=False, help_text="Only what can be restored; managers and up.")
    ordering = OrderingParameter(("name", "created_at", "modified_at", "id"), required=False)
