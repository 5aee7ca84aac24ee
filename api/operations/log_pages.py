"""The log page of both admin sites. It reads the same files in the same way as `manage.py logs`."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.admin import AdminSite
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from api.audit.events import Event
from api.audit.trail import record
from api.operations.log_access import IsVisible, visible_records
from api.operations.log_display import display_record, parse_timestamp
from api.users.selectors import actor_of
from backend.logs.search import ALL_FILES, FILES, LEVELS, LogQuery, SearchPage, search

PAGE_SIZE = 50  # records
REQUEST_PAGE_SIZE = 300  # records of one request
SECONDS = 0.8  # reading time of one search; a page takes at most two seconds

_MAIN_FIELDS = ("file", "level", "text", "user", "request_id")
_TIME_RANGE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


class _TimeField(forms.DateTimeField):
    default_validators = [MinValueValidator(_TIME_RANGE[0]), MaxValueValidator(_TIME_RANGE[1])]
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")


class LogForm(forms.Form):
    """Search form of the log page. All fields are optional."""

    file = forms.ChoiceField(choices=[("", "all"), *((name, f"{name}.log") for name in ALL_FILES)])
    level = forms.ChoiceField(choices=[("", "any"), *((level, f"{level} and above") for level in LEVELS[:-1])])
    logger = forms.CharField(
        max_length=100, validators=[RegexValidator(r"\A[\w.-]+\Z", "Enter the name of a logger, such as api.security.")]
    )
    event = forms.CharField(
        max_length=100, validators=[RegexValidator(r"\A[a-z_]+\Z", "Enter the name of an event, such as failed_login.")]
    )
    user = forms.IntegerField(label="User id", min_value=1, max_value=2**63 - 1, widget=forms.TextInput)
    request_id = forms.CharField(
        label="Request id",
        validators=[
            RegexValidator(r"\A[A-Za-z0-9._-]{8,128}\Z", "Enter 8 to 128 letters, digits, dots, dashes or underscores.")
        ],
    )
    text = forms.CharField(label="Text", max_length=200)
    exception = forms.CharField(label="Exception type", max_length=200)
    after = _TimeField(label="From")
    before = _TimeField(label="To")
    older = forms.CharField(
        widget=forms.HiddenInput, validators=[RegexValidator(r"\A\d{4}-\d\d-\d\dT[\d:.]{1,20}Z(~\d{1,9})?\Z")]
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="log_%s", label_suffix="", use_required_attribute=False)
        for field in self.fields.values():
            field.required = False

    @property
    def main_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in _MAIN_FIELDS]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in _MAIN_FIELDS]

    @property
    def has_more_criteria(self) -> bool:
        return any(field.name in self.criteria for field in self.more_fields)

    @property
    def criteria(self) -> dict[str, str]:
        """Return the submitted search criteria, without the pagination cursor `older`."""
        return {name: self.data[name] for name in self.fields if name != "older" and self.data.get(name)}

    def build_query(self, is_visible: IsVisible | None) -> LogQuery:
        values = self.cleaned_data
        names = ("level", "logger", "event", "request_id", "text", "exception")
        return LogQuery(
            **{name: values[name] for name in names},
            user=values["user"],
            after=_log_timestamp(values["after"]),
            before=_log_timestamp(values["before"]),
            is_visible=is_visible,
        )

    def search(self, is_visible: IsVisible | None) -> SearchPage:
        values = self.cleaned_data
        names = [values["file"]] if values["file"] else [*FILES, "debug"]
        limit = REQUEST_PAGE_SIZE if values["request_id"] else PAGE_SIZE
        return search(names, self.build_query(is_visible), cursor=values["older"], limit=limit, seconds=SECONDS)


def logs_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """Show the log records that match the query string, and audit the search."""
    is_visible = visible_records(site, request)
    form = LogForm(request.GET)
    is_valid = form.is_valid()
    page = form.search(is_visible) if is_valid else SearchPage([], "", is_out_of_time=False)
    if is_valid and form.criteria:  # after the search, so that it does not find its own audit record
        detail = " ".join(f"{name}={value}" for name, value in form.criteria.items())
        record(Event.LOGS_READ, actor=actor_of(request), detail=detail)
    is_request = is_valid and bool(form.cleaned_data["request_id"])
    entries = page.entries[::-1] if is_request else page.entries
    values = {
        **site.each_context(request),
        "title": "Logs",
        "form": form,
        "is_request": is_request,
        "is_partial": is_visible is not None,
        "records": [display_record(entry) for entry in entries],
        "older": urlencode(form.criteria | {"older": page.older}) if page.older else "",
        "searched_since": parse_timestamp(page.older.partition("~")[0]),
        "is_out_of_time": page.is_out_of_time,
        "all_times": urlencode({"request_id": form.criteria["request_id"]})
        if is_request and len(form.criteria) > 1
        else "",
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/operations/logs.html", values, status=200 if is_valid else 400)


def _log_timestamp(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z" if moment else ""
