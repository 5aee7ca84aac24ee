"""Views of /api/tasks/."""

from functools import partial
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.common.access import get_deleted
from api.idempotency.views import IdempotentCreateViewSet
from api.rest.etags import etag
from api.rest.pagination import paginate
from api.rest.query_params import PaginationParams
from api.rest.schema import page_schema
from api.rest.serializers import EmptySerializer
from api.tasks import services
from api.tasks.history import task_history
from api.tasks.models import Task
from api.tasks.selectors import filter_tasks, get_task, read_task, summarize_tasks, task_rows, visible_tasks
from api.tasks.serializers import (
    AssignSerializer,
    CountsSerializer,
    HistoryEntrySerializer,
    StatusSerializer,
    TaskFilterParams,
    TaskListParams,
    TaskSerializer,
)


class TaskViewSet(IdempotentCreateViewSet):
    serializer_class = TaskSerializer
    versioned = ("retrieve", "partial_update", "destroy", "restore", "assign", "claim", "change_status")
    queries: ClassVar = {"list": TaskListParams, "summary": TaskFilterParams, "history": PaginationParams}
    rules: ClassVar = {
        "list": "tasks.view",
        "summary": "tasks.view",
        "retrieve": "tasks.view",
        "history": "tasks.view",
        "create": "tasks.create",
        "partial_update": "tasks.edit",
        "destroy": "tasks.delete",
        "restore": "tasks.restore",
        "assign": "tasks.assign",
        "claim": "tasks.claim",
        "change_status": "tasks.change_status",
    }

    def get_row(self, rule: str) -> Any:
        if self.action == "retrieve":  # visibility is the only rule, and reading needs no model instance
            return read_task(actor=self.actor, pk=self.kwargs["pk"])
        get = partial(get_task, actor=self.actor, pk=self.kwargs["pk"], rule=rule)
        return get_deleted(get, rule, self.actor) if self.action == "restore" else get()

    @extend_schema(parameters=[TaskListParams], responses=page_schema(TaskSerializer))
    def list(self, request: Request) -> Response:
        """List the tasks that you can see.

        Managers and superusers see all tasks. Staff see their own tasks and unassigned tasks of their department.
        Viewers see the tasks of their properties.
        """
        rows = partial(task_rows, reader=self.actor)
        return Response(paginate(request, self._matching_tasks(), rows, self.query))

    @extend_schema(parameters=[TaskFilterParams], responses=CountsSerializer)
    def summary(self, request: Request) -> Response:
        """Count the tasks that the same filters list, by status, type and priority."""
        return Response(summarize_tasks(self._matching_tasks(), actor=self.actor))

    @extend_schema(request=TaskSerializer, responses={201: TaskSerializer})
    def create(self, request: Request) -> Response:
        """Create a task. Its status is pending."""
        return self.created_response(
            lambda: services.create_task(actor=self.actor, **self.validated_body(TaskSerializer))
        )

    @extend_schema(responses=TaskSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Return a task."""
        return Response(self.row.data, headers={"ETag": etag(self.row)})

    @extend_schema(request=TaskSerializer, responses=TaskSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Change a task. Its status changes under status/ only."""
        values = self.validated_body(TaskSerializer, self.row, partial=True)
        return self.object_response(
            services.update_task(actor=self.actor, task_id=pk, if_match=self.if_match, **values)
        )

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Delete a task. Managers and superusers can restore it."""
        services.delete_task(actor=self.actor, task_id=pk, if_match=self.if_match)
        return Response(status=204)

    @extend_schema(request=EmptySerializer, responses=TaskSerializer)
    def restore(self, request: Request, pk: int) -> Response:
        """Restore a deleted task. Returns 409 if the task is not deleted."""
        self.validated_body(EmptySerializer)
        return self.object_response(services.restore_task(actor=self.actor, task_id=pk, if_match=self.if_match))

    @extend_schema(request=StatusSerializer, responses=TaskSerializer)
    def change_status(self, request: Request, pk: int) -> Response:
        """Change the status of a task.

        Statuses advance from pending to in_progress to completed. Managers and superusers can also cancel open tasks
        and reopen closed ones. Any other transition returns 409, and so does completing a task with open dependencies.
        """
        values = self.validated_body(StatusSerializer)
        return self.object_response(
            services.change_status(actor=self.actor, task_id=pk, if_match=self.if_match, **values)
        )

    @extend_schema(request=AssignSerializer, responses=TaskSerializer)
    def assign(self, request: Request, pk: int) -> Response:
        """Assign an open task to a user. Send null to remove the assignee."""
        values = self.validated_body(AssignSerializer, self.row)
        return self.object_response(
            services.assign_task(actor=self.actor, task_id=pk, if_match=self.if_match, **values)
        )

    @extend_schema(request=EmptySerializer, responses=TaskSerializer)
    def claim(self, request: Request, pk: int) -> Response:
        """Assign an unassigned open task of your department to yourself. Returns 409 if it has an assignee already."""
        self.validated_body(EmptySerializer)
        return self.object_response(services.claim_task(actor=self.actor, task_id=pk, if_match=self.if_match))

    @extend_schema(parameters=[PaginationParams], responses=page_schema(HistoryEntrySerializer))
    def history(self, request: Request, pk: int) -> Response:
        """List the changes of a task, the newest first, with their user, old and new values.

        Staff and viewers get the changes made while they could see the task. In the change that made the task visible
        to them, the old values are null. In the change that hid it, the new values are null.
        """
        history = task_history(task=self.row, reader=self.actor)
        return Response(paginate(request, history.entries, history.rows, self.query))

    def represent(self, row: Task) -> Any:
        return task_rows(Task.objects.filter(pk=row.pk), reader=self.actor)[0]

    def _matching_tasks(self) -> QuerySet[Task]:
        visible = visible_tasks(self.actor, deleted=self.query.get("deleted", False))
        return filter_tasks(visible, self.query, actor=self.actor)
