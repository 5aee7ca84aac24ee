"""Properties in the admin sites."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from api.adminkit.model_admin import DeletedFilter, SoftDeletingAdmin
from api.common.choices import OPEN_STATUSES
from api.properties import services
from api.properties.models import Property
from api.properties.selectors import FILTERS
from api.users.selectors import actor_of


class PropertyForm(forms.ModelForm):
    """The form of a property. It reports a duplicate name next to its field."""

    class Meta:
        model = Property
        fields = (
            "name",
            "address",
            "property_type",
            "timezone",
            "access_notes",
            "owners",
            "is_active",
        )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Property.objects.filter(name=name, deleted_at=None).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError("Another property has this name.", code="unique")
        return name


class PropertyAdmin(SoftDeletingAdmin):
    domain = "properties"
    filters = FILTERS
    form = PropertyForm
    list_display = ("name", "address", "property_type", "open_tasks", "is_active")
    list_filter = ("property_type", "is_active", DeletedFilter)
    search_fields = ("name", "address")
    ordering = ("name",)
    autocomplete_fields = ("owners",)
    readonly_fields = ("created_by", "created_at", "modified_by", "modified_at")
    actions = ("restore",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "address",
                    ("property_type", "timezone"),
                    "access_notes",
                    "owners",
                    "is_active",
                )
            },
        ),
        ("State", {"fields": (("created_by", "created_at"), ("modified_by", "modified_at"))}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Property]:
        is_open = Q(tasks__status__in=OPEN_STATUSES, tasks__deleted_at=None)
        rows: QuerySet[Property] = super().get_queryset(request)
        return rows.annotate(open_tasks=Count("tasks", filter=is_open))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:1]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def create_object(self, request: HttpRequest, values: dict[str, Any]) -> Property:
        return services.create_property(actor=actor_of(request), **_service_values(values))

    def update_object(self, request: HttpRequest, pk: int, values: dict[str, Any]) -> Property:
        return services.update_property(actor=actor_of(request), property_id=pk, **_service_values(values))

    def delete_row(self, request: HttpRequest, obj: Property) -> None:
        services.delete_property(actor=actor_of(request), property_id=obj.pk)

    @admin.display(description="open tasks", ordering="open_tasks")
    def open_tasks(self, row: Any) -> int:
        return int(row.open_tasks)

    @admin.action(description="Restore deleted")
    def restore(self, request: HttpRequest, queryset: QuerySet[Property]) -> None:
        def change(row: Property) -> None:
            services.restore_property(actor=actor_of(request), property_id=row.pk)

        self.apply_to_each(request, queryset, change, "restored")


def _service_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return a form's values with the owners as ids."""
    return values | {"owners": [owner.pk for owner in values["owners"]]} if "owners" in values else values
