"""The audit trail in the admin sites: read, search and export."""

import csv
import json
import unicodedata
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.html import format_html_join

from api.adminkit.change_list import DateRangeFilter
from api.adminkit.model_admin import RuledAdmin
from api.audit.models import AuditEntry
from api.users.selectors import ENTRY_FILTERS

_COLUMNS = (
    "id",
    "created_at",
    "event",
    "actor_id",
    "actor_label",
    "object_type",
    "object_id",
    "object_label",
    "changes",
    "detail",
    "request_id",
    "ip_address",
    "user_agent",
)

_FORMULA = frozenset("=+-@")
_SPACES = frozenset("\t\r\n")


class AuditEntryAdmin(RuledAdmin):
    domain = "audit"
    filters = ENTRY_FILTERS
    list_display = ("created_at", "event", "actor_label", "object_type", "object_label", "detail", "ip_address")
    list_filter = ("event", "object_type", ("created_at", DateRangeFilter))
    search_fields = ("actor_label", "object_label", "detail", "=request_id", "=ip_address")
    ordering = ("-id",)
    allowed_lookups = ("object_id", "actor_id", "request_id")
    actions = ("export",)
    fields = (*(name for name in _COLUMNS if name != "changes"), "changes_display")
    readonly_fields = ("changes_display",)

    @admin.display(description="changes")
    def changes_display(self, entry: AuditEntry) -> str:
        return (
            format_html_join("", "<p>{}: {} → {}</p>", ((name, *pair) for name, pair in entry.changes.items())) or "-"
        )

    @admin.action(description="Export as CSV")
    def export(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> HttpResponse | StreamingHttpResponse:
        rows = queryset.order_by("-id").values_list(*_COLUMNS).iterator(chunk_size=1_000)
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        return StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8", headers=headers)


class _Echo:
    """A file for csv.writer whose write() returns the line."""

    def write(self, line: str) -> str:
        return line


def _lines(rows: Any) -> Iterator[str]:
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(_COLUMNS)
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    """Return a cell that no spreadsheet reads as a formula (OWASP, CSV injection).

    Some spreadsheets trim cells, some read full-width signs.
    """
    text = "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return f"'{text}" if first in _FORMULA or text[:1] in _SPACES else text
