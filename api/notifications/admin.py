"""Notifications in the admin sites: recipients, content and time of reading."""

from django.contrib import admin
from django.db.models import Q

from api.adminkit.change_list import DateRangeFilter
from api.adminkit.model_admin import RuledAdmin
from api.common.rules import Scope
from api.users.selectors import about_superusers


class NotificationAdmin(RuledAdmin):
    domain = "notifications"
    filters = {Scope.ALL: lambda _: Q(), Scope.BUT_SUPERUSERS: lambda _: ~about_superusers("recipient")}
    list_display = ("created_at", "recipient", "kind", "task_title", "actor_name", "read_at")
    list_filter = ("kind", ("read_at", admin.EmptyFieldListFilter), ("created_at", DateRangeFilter))
    list_select_related = ("recipient",)
    search_fields = ("recipient__username", "task_title")
    ordering = ("-id",)
    fields = ("recipient", "kind", "task", "task_title", "actor_name", "changes", "read_at", "created_at")
