"""Base classes of all model admins: the rules table decides, services write, the audit trail keeps the history."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from api.adminkit.change_list import CappedChangeList, CappedPaginator, DateRangeFilter, materialize_small
from api.adminkit.fields import RelatedChoiceField, RelatedMultipleChoiceField, RelatedSelect, RelatedSelectMultiple
from api.audit.events import Event
from api.audit.models import AuditEntry
from api.audit.trail import record
from api.common import rules
from api.common.errors import Denied, DomainError
from backend.logging_config import ADMIN

HISTORY_LINES = 10
MAX_MESSAGES = 30  # per bulk action

_NO_DETAIL = {403: "Your role does not allow this.", 404: "The object does not exist or needs no change."}
# Plain words for actions whose rule name is unclear.
_ACTION_NAMES = {"password_change": "direct password change"}

logger = logging.getLogger(ADMIN)


def site_url(site: admin.AdminSite, name: str, *args: Any) -> str:
    """Return the URL of a page of an admin site."""
    url = reverse(f"admin:{name}", args=args, current_app=site.name)
    logger.debug("Address reversed", extra={"event": "url_reversed", "reverse": f"admin:{name}", "url": url})
    return url


class RuledAdmin(admin.ModelAdmin):
    """A model admin with the permissions `domain`.view, .create, .edit and .delete. Without a rule, all is denied."""

    domain: ClassVar[str]
    filters: ClassVar[rules.ScopeFilters]
    show_full_result_count = False  # it would count all rows
    list_per_page = 50
    paginator = CappedPaginator
    secondary_ordering: ClassVar[Mapping[str, str]] = {}  # {column: the next column of its index, if not the id}
    allowed_lookups: ClassVar[tuple[str, ...]] = ()  # URL parameters of links to the list

    def role(self, request: HttpRequest) -> str:
        """Return the role in which the user acts here: in /manager/, superusers act as managers."""
        return getattr(self.admin_site, "acting_role", "") or getattr(request.user, "role", "")

    def allows(self, request: HttpRequest, verb: str, obj: Model | None = None) -> bool:
        rule = f"{self.domain}.{verb}"
        if rule not in rules.RULES or not request.user.is_authenticated:
            return False
        scope = rules.scope_of(rule, self.role(request))
        if scope is None or obj is None or scope is rules.Scope.ALL:
            return scope is not None
        return type(obj)._default_manager.filter(self.rows(request, verb), pk=obj.pk).exists()

    def rows(self, request: HttpRequest, verb: str) -> Q:
        user: Any = request.user
        return rules.rows(f"{self.domain}.{verb}", user, self.filters, role=self.role(request))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Respond 400 to invalid ids of selected rows, on which databases fail."""
        pk = self.opts.pk
        try:
            for value in request.POST.getlist(ACTION_CHECKBOX_NAME):
                pk.run_validators(pk.to_python(value))
        except ValidationError:
            raise BadRequest("A selected row is not an id.") from None
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return CappedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the parameters of the list's filters and `allowed_lookups`; Django would allow every field."""
        names = {*self.allowed_lookups}
        filters: Any = self.list_filter
        for list_filter in filters:
            if isinstance(list_filter, str):
                names.add(list_filter)
            elif not isinstance(list_filter, tuple):
                names.add(list_filter.parameter_name)
            else:
                field, filter_class = list_filter
                is_range = filter_class is DateRangeFilter
                names |= {f"{field}_from", f"{field}_to"} if is_range else {field}
        name, _, comparison = lookup.partition("__")
        return name in names and comparison in {"", "exact", "isnull", "isempty"}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        chosen = {"form_class": RelatedMultipleChoiceField, "widget": RelatedSelectMultiple(db_field, self.admin_site)}
        return super().formfield_for_manytomany(db_field, request, **chosen | kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        chosen = {"form_class": RelatedChoiceField, "widget": RelatedSelect(db_field, self.admin_site)}
        return super().formfield_for_foreignkey(db_field, request, **chosen | kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return nothing: a URL must not prefill a form or reveal rows that the user may not see."""
        return {}

    def selectable_q(self, request: HttpRequest) -> Q:
        """Return the condition for rows that forms of other models offer."""
        return self.rows(request, "view")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        relations: list[Any] = [field for field in (*self.opts.fields, *self.opts.many_to_many) if field.is_relation]
        for field in relations:
            if field.name not in form.base_fields:
                continue
            rows = field.related_model._default_manager.all()
            condition = selectable_rows(self.admin_site, request, field.related_model)
            if obj is not None:  # keep the current choice
                chosen = rows.filter((field.related_query_name(), obj))
                condition |= Q(pk__in=chosen.values("pk"))
            form.base_fields[field.name].queryset = rows.filter(condition)
        return form

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if is_autocomplete(request):
            queryset = queryset.filter(self.selectable_q(request))
        rows, may_repeat = super().get_search_results(request, queryset, search_term)
        return (materialize_small(rows) if search_term.strip() else rows), may_repeat

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.allows(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "create")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.allows(request, "edit", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.allows(request, "delete", obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the user may see; other rows lead to 404."""
        return super().get_queryset(request).filter(self.rows(request, "view"))

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404

    # Services write the audit trail, which replaces Django's log.
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any: ...
    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any: ...
    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any: ...

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:  # noqa: FBT001
        """Save through a service and return the saved object, with which Django builds its response."""
        names = form.changed_data if change else form.cleaned_data
        values = {name: form.cleaned_data[name] for name in names}
        if change:
            return self.update_object(request, form.instance.pk, values)
        return self.create_object(request, values)

    def create_object(self, request: HttpRequest, values: dict[str, Any]) -> Model:
        """Create an object from a form's values, through a service."""
        raise NotImplementedError

    def update_object(self, request: HttpRequest, pk: int, values: dict[str, Any]) -> Model:
        """Change an object by the form's changed values, through a service."""
        raise NotImplementedError

    # `save_form` has already saved the object and its relations.
    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None: ...  # noqa: FBT001
    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None: ...  # noqa: FBT001

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Redirect to the audit events of this object."""
        if self.get_object(request, object_id) is None:
            raise Http404
        query = f"?object_type={self.opts.model_name}&object_id={int(object_id)}"
        return HttpResponseRedirect(site_url(self.admin_site, "api_auditentry_changelist") + query)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        obj = kwargs.get("obj")
        if request.method == "POST":
            log_invalid_form(context["adminform"].form, self.opts.model_name or "")
        if obj is not None:
            context["trail"] = self.recent_history(request, obj)
        return super().render_change_form(request, context, *args, **kwargs)

    def recent_history(self, request: HttpRequest, obj: Model) -> QuerySet[AuditEntry]:
        """Return the latest audit events of the object that the user may read."""
        readable = readable_rows(self.admin_site, request, AuditEntry)
        entries = AuditEntry.objects.filter(readable, object_type=self.opts.model_name, object_id=obj.pk)
        return entries.order_by("-pk")[:HISTORY_LINES]

    def apply_to_each(
        self, request: HttpRequest, rows: Iterable[Any], change: Callable[[Any], object], done: str
    ) -> None:
        """Apply a change to each row, and show one message per row."""
        results: list[tuple[int, str]] = []
        for row in rows:
            try:
                change(row)
            except DomainError as error:
                if isinstance(error, Denied):
                    record_denial(request, error)
                reason = " ".join([*error.errors.values()] or [error.detail or _NO_DETAIL[error.status]])
                results.append((messages.WARNING, f"{row}: not done. {reason}"))
            else:
                results.append((messages.SUCCESS, f"{row}: {done}."))
        for level, message in results[:MAX_MESSAGES]:
            messages.add_message(request, level, message)
        rest = results[MAX_MESSAGES:]
        for level, result in ((messages.SUCCESS, done), (messages.WARNING, "not done")):
            if count := sum(1 for other, _ in rest if other == level):
                messages.add_message(request, level, f"And {count} more: {result}.")


class DeletedFilter(admin.SimpleListFilter):
    """Shows deleted rows if selected, and otherwise the others."""

    title = "deleted"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        deleted = self.value() == "yes"
        rows = queryset.filter(deleted_at__isnull=not deleted)
        return materialize_small(rows) if deleted else rows  # indexes cover rows that are not deleted


class SoftDeletingAdmin(RuledAdmin):
    """A model admin with soft deletion. The confirmation page lists no related rows, because none are deleted."""

    def selectable_q(self, request: HttpRequest) -> Q:
        return super().selectable_q(request) & Q(deleted_at=None)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        names = [str(row) for row in objs]
        return names, {str(self.opts.verbose_name_plural): len(names)}, set(), []

    def delete_row(self, request: HttpRequest, obj: Any) -> None:
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.delete_row(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_row(request, row)


def selectable_rows(site: admin.AdminSite, request: HttpRequest, model: type[Model]) -> Q:
    """Return the condition for rows of a model that forms of this site offer."""
    related: Any = site.get_model_admin(model)
    condition: Q = related.selectable_q(request)
    return condition


def readable_rows(site: admin.AdminSite, request: HttpRequest, model: type[Model]) -> Q:
    """Return the condition for rows of a model that the user may see in its list."""
    related: Any = site.get_model_admin(model)
    condition: Q = related.rows(request, "view")
    return condition


def record_denial(request: HttpRequest, denial: Denied) -> None:
    """Record a denial in a new transaction; that of the denied action has ended."""
    user: Any = request.user
    action = _ACTION_NAMES.get(denial.action, denial.action.replace("_", " ").replace(".", " "))
    with transaction.atomic():
        record(
            Event.PERMISSION_DENIED,
            actor=user,
            target=denial.target,
            detail=denial.action,
            message=f"{Event.PERMISSION_DENIED.label}: {user.get_role_display()} attempted {action}",
            by_administrator=True,
        )


def is_autocomplete(request: HttpRequest) -> bool:
    """Return whether this is a request of an autocomplete field."""
    return request.resolver_match is not None and request.resolver_match.url_name == "autocomplete"


def log_invalid_form(form: Any, name: str) -> None:
    """Log which fields are invalid and why, never their values."""
    rejected_fields = [
        {"field": field, "code": error["code"]}
        for field, errors in form.errors.get_json_data().items()
        for error in errors
    ]
    if rejected_fields:
        extra: Mapping[str, Any] = {
            "event": "form_validation",
            "security_event": "form_validation",
            "security_category": "input_validation",
            "form": name,
            "refused": rejected_fields,
        }
        logger.info("Form validation failed", extra=extra)
