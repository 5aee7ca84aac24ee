"""A list of tasks as one writes it first: a ModelSerializer with select_related, and an exact count."""

from django.urls import path
from rest_framework import generics, serializers

from api.tasks.models import Task


class TaskSerializer(serializers.ModelSerializer):
    property_name = serializers.CharField(source="property.name")
    assigned_to_name = serializers.CharField(source="assigned_to.display_name", default=None)
    created_by_name = serializers.CharField(source="created_by.display_name")
    modified_by_name = serializers.CharField(source="modified_by.display_name")

    class Meta:
        model = Task
        fields = [
            *("id", "title", "description", "task_type", "status", "priority", "property", "property_name"),
            *("assigned_to", "assigned_to_name", "due_date", "started_at", "completed_at", "is_overdue"),
            *("depends_on", "created_by", "created_by_name", "modified_by", "modified_by_name"),
            *("created_at", "modified_at"),
        ]


class TaskList(generics.ListAPIView):
    serializer_class = TaskSerializer
    queryset = (
        Task.objects.filter(deleted_at=None, property__deleted_at=None)
        .select_related("property", "assigned_to", "created_by", "modified_by")
        .prefetch_related("depends_on")
        .order_by("due_date", "id")
    )


urlpatterns = [path("api/tasks/", TaskList.as_view())]
