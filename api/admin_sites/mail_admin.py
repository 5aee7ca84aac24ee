"""The outbox in the admin sites: the state of each email, and retries."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from api.adminkit.change_list import DateRangeFilter
from api.adminkit.model_admin import RuledAdmin
from api.common.rules import Scope
from api.mail.models import OutgoingMail
from api.mail.outbox import retry
from api.users.selectors import about_superusers, actor_of


class OutgoingMailAdmin(RuledAdmin):
    """Emails without their bodies, whose links are only for the recipient."""

    domain = "mail"
    filters = {
        Scope.ALL: lambda _: Q(),
        Scope.BUT_SUPERUSERS: lambda _: Q(user_id=None) | ~about_superusers("user_id"),
    }
    list_display = ("created_at", "kind", "recipient", "state", "attempts", "finished_at", "last_error")
    list_filter = ("state", "kind", ("created_at", DateRangeFilter))
    search_fields = ("recipient", "=message_id", "=request_id")
    ordering = ("-id",)
    actions = ("try_again",)
    fields = (
        "kind",
        "recipient",
        "user_id",
        "subject",
        "message_id",
        "state",
        "attempts",
        "next_try_at",
        "finished_at",
        "last_error",
        "asked_by_id",
        "asked_by_name",
        "asked_by_role",
        "request_id",
        "created_at",
    )

    @admin.action(description="Retry failed and unknown", permissions=["retry"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[OutgoingMail]) -> None:
        self.apply_to_each(request, queryset, lambda mail: retry(mail, actor=actor_of(request)), "queued again")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "retry")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("text_body", "html_body")
