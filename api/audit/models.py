"""The audit trail: who changed which object, how and when. Rows are append-only."""

from typing import Any, NoReturn

from django.db import models
from django.db.models.query import QuerySet

from api.audit.events import Event


class AppendOnlyError(TypeError):
    """An attempt to change or delete audit entries."""

    def __init__(self) -> None:
        super().__init__("Audit entries are append-only: they can be neither changed nor deleted.")


class AppendOnlyQuerySet(QuerySet["AuditEntry", "AuditEntry"]):
    """A queryset that rejects every ORM call that changes or deletes rows."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError

    def delete(self) -> NoReturn:
        raise AppendOnlyError

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> NoReturn:
        raise AppendOnlyError

    def bulk_create(self, objs: Any, batch_size: int | None = None, **options: Any) -> list["AuditEntry"]:  # type: ignore[override]
        if options.get("update_conflicts"):
            raise AppendOnlyError
        return super().bulk_create(objs, batch_size, **options)

    def _raw_delete(self, using: str | None) -> NoReturn:
        raise AppendOnlyError


def event_choices() -> list[tuple[str, str]]:
    """Return the choices of `event`. They come from a function so that a new event needs no migration."""
    return Event.choices


class AuditEntry(models.Model):
    """One audit event. Ids are plain numbers and labels are copies, so that rows outlive the objects they name."""

    event = models.CharField(max_length=40, choices=event_choices)
    actor_id = models.BigIntegerField(null=True)
    actor_label = models.CharField(max_length=200, blank=True)
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.BigIntegerField(null=True)
    object_label = models.CharField(max_length=200, blank=True)
    changes = models.JSONField(default=dict)  # {field: [old, new]}
    detail = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        base_manager_name = "objects"  # Django's internal queries are append-only, too
        indexes = [
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_object"),
            models.Index(fields=["actor_id", "-id"], name="audit_actor"),
            models.Index(fields=["event", "-id"], name="audit_event"),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}: {self.object_label}"

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        # save() and loaddata both call save_base().
        if not self._state.adding:
            raise AppendOnlyError
        super().save_base(*args, **(kwargs | {"force_insert": True}))

    def delete(self, using: str | None = None, keep_parents: bool = False) -> NoReturn:  # noqa: FBT001, FBT002 - Django's
        raise AppendOnlyError
