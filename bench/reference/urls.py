"""A simple task API: a ModelSerializer, select_related, an exact count, and simplejwt with its defaults."""

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.utils import timezone
from rest_framework import generics, serializers
from rest_framework_simplejwt.views import TokenObtainPairView

from api.tasks.models import Task


class TaskSerializer(serializers.ModelSerializer):
    property_name = serializers.CharField(source="property.name", read_only=True)
    assigned_to_name = serializers.CharField(source="assigned_to.display_name", default=None, read_only=True)
    created_by_name = serializers.CharField(source="created_by.display_name", read_only=True)
    modified_by_name = serializers.CharField(source="modified_by.display_name", read_only=True)

    class Meta:
        model = Task
        fields = [
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
            "created_by",
            "created_by_name",
            "modified_by",
            "modified_by_name",
            "created_at",
            "modified_at",
        ]
        read_only_fields = ["created_by", "modified_by", "created_at", "modified_at"]


class Tasks:
    serializer_class = TaskSerializer
    queryset = (
        Task.objects.filter(deleted_at=None, property__deleted_at=None)
        .select_related("property", "assigned_to", "created_by", "modified_by")
        .prefetch_related("depends_on")
        .order_by("due_date", "id")
    )


class TaskList(Tasks, generics.ListCreateAPIView):
    def perform_create(self, serializer: TaskSerializer) -> None:
        user, now = self.request.user, timezone.now()
        serializer.save(created_by=user, modified_by=user, created_at=now, modified_at=now)


class TaskDetail(Tasks, generics.RetrieveAPIView):
    pass


def health(request: HttpRequest) -> JsonResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "healthy"})


urlpatterns = [
    path("api/tasks/", TaskList.as_view()),
    path("api/tasks/<int:pk>/", TaskDetail.as_view()),
    path("api/auth/login/", TokenObtainPairView.as_view()),
    path("api/health/", health),
]
