"""Constraints that the database enforces."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from api.models import Property, Task, TaskDependency
from tests import factories

NOW = datetime(2026, 5, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "values",
    [
        {"title": ""},
        {"description": "a" * 10_001},
        {"task_type": "gardening"},
        {"status": "open"},
        {"priority": 0},
        {"priority": 5},
        {"due_date": datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)},
        {"due_date": datetime(2101, 1, 1, tzinfo=UTC)},
        {"status": "completed"},
        {"status": "in_progress"},
        {"started_at": NOW},
        {"completed_at": NOW},
        {"status": "canceled", "completed_at": NOW},
    ],
    ids=str,
)
def test_database_rejects_invalid_task(db, values):
    task = factories.task()

    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(**values)

    Task.objects.filter(pk=task.pk).update(status="completed", started_at=NOW, completed_at=NOW)


@pytest.mark.parametrize(
    "values", [{"name": ""}, {"address": ""}, {"property_type": "castle"}, {"name": "Taken"}], ids=str
)
def test_database_rejects_invalid_property(db, values):
    factories.property_(name="Taken")
    property_ = factories.property_()

    with pytest.raises(IntegrityError), transaction.atomic():
        Property.objects.filter(pk=property_.pk).update(**values)

    Property.objects.filter(pk=property_.pk).update(deleted_at=NOW)
    Property.objects.filter(pk=property_.pk).update(name="Taken")


def test_database_rejects_invalid_dependency(db):
    task, other = factories.task(), factories.task()
    TaskDependency.objects.create(task=task, depends_on=other)

    for dependent, dependency in ((task, task), (task, other)):
        with pytest.raises(IntegrityError), transaction.atomic():
            TaskDependency.objects.create(task=dependent, depends_on=dependency)
