"""Users and sessions in the admin sites: CosmoUserAdmin for superusers, UserManagerAdmin for managers."""

import logging
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from api.accounts import password_reset, sessions
from api.accounts.admin_actions import AccountActionsMixin
from api.accounts.browser_sessions import is_current
from api.accounts.mails import INVITATION, RESET
from api.accounts.models import Session
from api.accounts.selectors import live_sessions
from api.adminkit.model_admin import RuledAdmin, is_autocomplete, readable_rows
from api.audit import events
from api.audit.models import AuditEntry
from api.common import rules
from api.common.choices import Role
from api.common.rules import Scope
from api.mail.models import OutgoingMail
from api.users import services
from api.users.admin_forms import InvitedUserForm, NewUserForm, UserForm
from api.users.models import User
from api.users.selectors import FILTERS, actor_of
from backend.logging_config import ADMIN

logger = logging.getLogger(ADMIN)

_PROFILE = ("username", "email", ("first_name", "last_name"), ("role", "department"), ("phone_number", "timezone"))


class RoleFilter(admin.ChoicesFieldListFilter):
    """Offers the roles that the site shows."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        shows_superusers = rules.scope_of("users.view", changelist.model_admin.role(self.request)) is Scope.ALL
        for choice in super().choices(changelist):
            if shows_superusers or not choice["display"].startswith(Role.SUPERUSER.label):
                yield choice


class CosmoUserAdmin(AccountActionsMixin, UserAdmin):
    """All users, for superusers."""

    domain = "users"
    filters = FILTERS
    form = UserForm
    add_form: type[InvitedUserForm] = NewUserForm
    list_display = ("username", "display_name", "email", "role", "department", "is_active", "last_login")
    list_filter = (("role", RoleFilter), "department", "is_active")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": (*_PROFILE, "is_active")}),
        ("Emails", {"fields": (("digest_opt_out", "notification_opt_out"),)}),
        ("Dates", {"fields": (("last_login", "date_joined"),)}),
    )
    add_fieldsets: Any = ((None, {"fields": (*_PROFILE, "password")}),)
    change_form_template = "admin/api/user/change_form.html"

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role" and rules.scope_of("users.edit", self.role(request)) is Scope.STAFF_AND_VIEWERS:
            kwargs["choices"] = [(role.value, role.label) for role in (Role.STAFF, Role.VIEWER)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def selectable_q(self, request: HttpRequest) -> Q:
        return super().selectable_q(request) & Q(is_active=True)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[User], search_term: str) -> Any:
        if is_autocomplete(request) and request.GET.get("field_name") == "assigned_to":
            queryset = queryset.exclude(role=Role.VIEWER)
        return super().get_search_results(request, queryset, search_term)

    def create_object(self, request: HttpRequest, values: dict[str, Any]) -> User:
        actor = actor_of(request)
        password = values.pop("password", "") or None
        user = services.create_user(actor=actor, password=password, **values)
        if password is None:
            password_reset.send_reset(actor=actor, user_id=user.pk)
            messages.success(request, f"An invitation to {user.email} is queued.")
        return user

    def update_object(self, request: HttpRequest, pk: int, values: dict[str, Any]) -> User:
        return services.update_user(actor=actor_of(request), user_id=pk, rule="users.edit", **values)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the users whose tasks or sessions prevent erasure, without listing those rows."""
        protected = [f"{user}: has tasks or sessions" for user in objs if services.has_protected_references(user)]
        return [str(user) for user in objs], {"users": len(objs)}, set(), protected

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete_user(actor=actor_of(request), user_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            services.delete_user(actor=actor_of(request), user_id=user.pk)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        user = self.get_object(request, unquote(object_id))
        context = self._change_context(request, user) if user else {}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def _change_context(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """Return the buttons, the latest reset email and the password events for the page of a user."""
        urls = self.action_urls(request, user)
        logger.debug("User page context", extra={"event": "user_page", "target_user_id": user.pk, **urls})
        mails = OutgoingMail.objects.filter(
            readable_rows(self.admin_site, request, OutgoingMail), user_id=user.pk, kind__in=[RESET, INVITATION]
        )
        return urls | {
            "has_password": user.has_usable_password(),
            "open_sessions": live_sessions(user).count(),
            "last_reset_email": mails.order_by("-pk").first(),
            "password_events": AuditEntry.objects.filter(
                readable_rows(self.admin_site, request, AuditEntry),
                Q(event__in=[*events.PASSWORD, events.Event.SESSION_ENDED])
                | Q(event=events.Event.PERMISSION_DENIED, detail="password_change"),
                object_type="user",
                object_id=user.pk,
            ).order_by("-pk")[:10],
        }


class UserManagerAdmin(CosmoUserAdmin):
    """All users except superusers, for managers. Managers edit staff and viewers and set no passwords."""

    sets_passwords = False
    add_form = InvitedUserForm
    add_fieldsets = ((None, {"fields": _PROFILE, "description": "An invitation email lets users set their password."}),)


class SessionAdmin(RuledAdmin):
    """The actor's own sessions, in apps and browsers."""

    domain = "account"
    list_display = ("user_agent", "ip_address", "started_at", "last_seen_at", "is_this_session")
    list_display_links = None
    actions = ("end",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_authenticated

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        return live_sessions(actor_of(request)).annotate(is_current=is_current(request))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return super().changelist_view(request, {"title": "Your sessions", **(extra_context or {})})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise Http404  # audit events name users, not sessions

    @admin.display(boolean=True, description="this session")
    def is_this_session(self, session: Any) -> bool:
        return bool(session.is_current)

    @admin.action(description="End")
    def end(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        self.apply_to_each(request, queryset, sessions.end_session, "ended")


__all__ = ["CosmoUserAdmin", "SessionAdmin", "UserManagerAdmin"]
