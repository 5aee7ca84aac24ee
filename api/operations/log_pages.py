"""The log reader of both admin sites: the files of `manage.py logs`, read in the same way."""

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

RECORDS = 50  # of a page
RECORDS_OF_A_REQUEST = 300
SECONDS = 0.8  # of reading; a page takes at most two

_USUAL = ("file", "level", "text", "user", "request_id")
_YEARS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


class _Time(forms.DateTimeField):
    default_validators = [MinValueValidator(_YEARS[0]), MaxValueValidator(_YEARS[1])]
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")


class LogForm(forms.Form):
    """What to look for; every part may be left out."""

    file = forms.ChoiceField(choices=[("", "all"), *((name, f"{name}.log") for name in ALL_FILES)])
    level = forms.ChoiceField(choices=[("", "any"), *((level, f"{level} and above") for level in LEVELS[:-1])])
    logger = forms.CharField(
        max_length=100, validators=[RegexValidator(r"\A[\w.-]+\Z", "Loggers are like api.security.")]
    )
    event = forms.CharField(
        max_length=100, validators=[RegexValidator(r"\A[a-z_]+\Z", "Events are like failed_login.")]
    )
    user = forms.IntegerField(label="User id", min_value=1, max_value=2**63 - 1, widget=forms.TextInput)
    request_id = forms.CharField(
        label="Request id",
        validators=[RegexValidator(r"\A[A-Za-z0-9._-]{8,128}\Z", "8 to 128 letters, digits and . _ -")],
    )
    text = forms.CharField(label="Text in the line", max_length=200)
    exception = forms.CharField(label="Type of exception", max_length=200)
    after = _Time(label="From")
    before = _Time(label="To")
    older = forms.CharField(
        widget=forms.HiddenInput, validators=[RegexValidator(r"\A\d{4}-\d\d-\d\dT[\d:.]{1,20}Z(~\d{1,9})?\Z")]
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="log_%s", label_suffix="", use_required_attribute=False)
        for field in self.fields.values():
            field.required = False

    @property
    def usual_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in _USUAL]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in _USUAL]

    @property
    def asks_for_more(self) -> bool:
        return any(field.name in self.asked for field in self.more_fields)

    @property
    def asked(self) -> dict[str, str]:
        """What was asked for, but for the place on the pages of the answer."""
        return {name: self.data[name] for name in self.fields if name != "older" and self.data.get(name)}

    def query(self, is_visible: IsVisible | None) -> LogQuery:
        values = self.cleaned_data
        names = ("level", "logger", "event", "request_id", "text", "exception")
        return LogQuery(
            **{name: values[name] for name in names},
            user=values["user"],
            after=_as_lines_have_it(values["after"]),
            before=_as_lines_have_it(values["before"]),
            is_visible=is_visible,
        )

    def find(self, is_visible: IsVisible | None) -> SearchPage:
        values = self.cleaned_data
        names = [values["file"]] if values["file"] else [*FILES, "debug"]
        limit = RECORDS_OF_A_REQUEST if values["request_id"] else RECORDS
        return search(names, self.query(is_visible), cursor=values["older"], limit=limit, seconds=SECONDS)


def logs_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    is_visible = visible_records(site, request)
    form = LogForm(request.GET)
    is_valid = form.is_valid()
    found = form.find(is_visible) if is_valid else SearchPage([], "", is_out_of_time=False)
    if is_valid and form.asked:  # after reading: a search for a text does not find itself
        detail = " ".join(f"{name}={value}" for name, value in form.asked.items())
        record(Event.LOGS_READ, actor=actor_of(request), detail=detail)
    is_request = is_valid and bool(form.cleaned_data["request_id"])
    entries = found.entries[::-1] if is_request else found.entries
    values = {
        **site.each_context(request),
        "title": "Logs",
        "form": form,
        "is_request": is_request,
        "is_partial": is_visible is not None,
        "records": [display_record(entry) for entry in entries],
        "older": urlencode(form.asked | {"older": found.older}) if found.older else "",
        "reached": parse_timestamp(found.older.partition("~")[0]),
        "is_out_of_time": found.is_out_of_time,
        "everywhere": urlencode({"request_id": form.asked["request_id"]}) if is_request and len(form.asked) > 1 else "",
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/operations/logs.html", values, status=200 if is_valid else 400)


def _as_lines_have_it(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z" if moment else ""
