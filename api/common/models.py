"""Columns that several models share."""

from django.conf import settings
from django.db import models


class TrackedModel(models.Model):
    """Records who created and last changed a row, when, and its version for optimistic locking.

    Services set these columns: `api/common/changes.py` on a change.
    """

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    modified_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    modified_at = models.DateTimeField()
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        abstract = True
