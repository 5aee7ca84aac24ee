"""People in the admin sites: CosmoUserAdmin for superusers, UserManagerAdmin for managers."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from api.accounts import password_reset, sessions
from api.accounts.browser_sessions import is_current
from api.accounts.mails import INVITATION, RESET
from api.accounts.models import Session
from api.accounts.pages import NewPasswordForm
from api.accounts.selectors import live_sessions
from api.accounts.services import admin_set_password, end_sessions_of
from api.adminkit.model_admin import RuledAdmin, is_autocomplete, log_invalid_form, readable_rows, site_url
from api.audit import events
from api.audit.models import AuditEntry
from api.common import rules
from api.common.choices import Role
from api.common.errors import Denied, Invalid
from api.common.rules import Scope
from api.mail.models import OutgoingMail
from api.users import services
from api.users.admin_forms import InvitedUserForm, NewUserForm, UserForm
from api.users.models import User
from api.users.selectors import FILTERS, actor_of
from backend.logging_config import ADMIN

logger = logging.getLogger(ADMIN)

_RESET_SENT = "a mail with a link is on its way"
_PERSON = ("username", "email", ("first_name", "last_name"), ("role", "department"), ("phone_number", "timezone"))


class RoleFilter(admin.ChoicesFieldListFilter):
    """Of the roles that the site shows."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        shows_superusers = rules.scope_of("users.view", changelist.model_admin.role(self.request)) is Scope.ALL
        for choice in super().choices(changelist):
            if shows_superusers or not choice["display"].startswith(Role.SUPERUSER.label):
                yield choice


class CosmoUserAdmin(RuledAdmin, UserAdmin):
    """Everybody, for superusers."""

    domain = "users"
    filters = FILTERS
    sets_passwords: ClassVar[bool] = True
    form = UserForm
    add_form: type[InvitedUserForm] = NewUserForm
    list_display = ("username", "display_name", "email", "role", "department", "is_active", "last_login")
    list_filter = (("role", RoleFilter), "department", "is_active")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    actions = ("activate", "deactivate", "send_reset_mail")
    fieldsets = (
        (None, {"fields": (*_PERSON, "is_active")}),
        ("Mails", {"fields": (("digest_opt_out", "notification_opt_out"),)}),
        ("Dates", {"fields": (("last_login", "date_joined"),)}),
    )
    add_fieldsets: Any = ((None, {"fields": (*_PERSON, "password")}),)
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

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<id:pk>/password-reset/", view(self.password_reset_view), name="api_user_password_reset"),
            path("<id:pk>/end-sessions/", view(self.end_sessions_view), name="api_user_end_sessions"),
            *super().get_urls(),
        ]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001
        actor = actor_of(request)
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            saved = services.update_user(actor=actor, user_id=obj.pk, rule="users.edit", **values)
        else:
            values = dict(form.cleaned_data)
            password = values.pop("password", "") or None
            saved = services.create_user(actor=actor, password=password, **values)
            if password is None:
                password_reset.send_reset(actor=actor, user_id=saved.pk)
                messages.success(request, f"An invitation to {saved.email} is on its way.")
        vars(obj).update(vars(saved))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Who has traces cannot be erased; listing all of them would not help."""
        protected = [
            f"{user}: has tasks, sessions or the like" for user in objs if services.has_protected_references(user)
        ]
        return [str(user) for user in objs], {"users": len(objs)}, set(), protected

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete_user(actor=actor_of(request), user_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            services.delete_user(actor=actor_of(request), user_id=user.pk)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        user = self.get_object(request, unquote(object_id))
        about = self._change_context(request, user) if user else {}
        return super().change_view(request, object_id, form_url, about | (extra_context or {}))

    def _change_context(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """What the page shows beside the form."""
        actor = actor_of(request)
        urls = {
            name: site_url(self.admin_site, pattern, user.pk)
            for name, pattern, holds in (
                ("password_reset_url", "api_user_password_reset", self.allows(request, "send_reset", user)),
                ("set_password_url", "auth_user_password_change", self._may_set_passwords(actor)),
                ("end_sessions_url", "api_user_end_sessions", self.allows(request, "end_sessions", user)),
            )
            if holds
        }
        logger.debug("User page context", extra={"event": "user_page", "target_user_id": user.pk, **urls})
        mails = OutgoingMail.objects.filter(
            readable_rows(self.admin_site, request, OutgoingMail), user_id=user.pk, kind__in=[RESET, INVITATION]
        )
        return urls | {
            "has_password": user.has_usable_password(),
            "open_sessions": live_sessions(user).count(),
            "last_reset_mail": mails.order_by("-pk").first(),
            "password_events": AuditEntry.objects.filter(
                readable_rows(self.admin_site, request, AuditEntry),
                Q(event__in=[*events.PASSWORD, events.Event.SESSION_ENDED])
                | Q(event=events.Event.PERMISSION_DENIED, detail="password_change"),
                object_type="user",
                object_id=user.pk,
            ).order_by("-pk")[:10],
        }

    def _may_set_passwords(self, actor: User) -> bool:
        return self.sets_passwords and rules.allows("users.set_password", actor)

    @method_decorator(sensitive_post_parameters())
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a password directly: superusers, in /admin/."""
        user = self.get_object(request, unquote(id))
        if not self._may_set_passwords(actor_of(request)):
            raise Denied(action="password_change", target=user)
        if user is None:
            raise Http404
        form = NewPasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                password = form.cleaned_data["new_password1"]
                admin_set_password(actor=actor_of(request), user_id=user.pk, new_password=password)
            except Invalid as refusal:
                form.add_service_errors(refusal)
            else:
                messages.success(request, f"The password of {user} is set, and his sessions are ended.")
                return HttpResponseRedirect(self._page_of(user))
        if request.method == "POST":
            log_invalid_form(form, "set_password")
        values = {**self.admin_site.each_context(request), "title": f"Set the password of {user}"}
        values |= {"form": form, "original": user, "opts": self.opts}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/api/user/set_password.html", values)

    def password_reset_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the mail; a look changes nothing."""
        return self._run_single_action(request, pk, self._send_reset, _RESET_SENT)

    def end_sessions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._run_single_action(request, pk, self._end_sessions, "all sessions are ended")

    def _run_single_action(
        self, request: HttpRequest, pk: int, act: Callable[[HttpRequest, User], None], done: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        user = self.get_queryset(request).filter(pk=pk).first()
        if user is None:
            raise Http404
        self.apply_to_each(request, [user], lambda row: act(request, row), done)
        return HttpResponseRedirect(self._page_of(user))

    def _page_of(self, user: User) -> str:
        return site_url(self.admin_site, "api_user_change", user.pk)

    def _send_reset(self, request: HttpRequest, user: User) -> None:
        password_reset.send_reset(actor=actor_of(request), user_id=user.pk)

    def _end_sessions(self, request: HttpRequest, user: User) -> None:
        self._require(request, "end_sessions", user)
        end_sessions_of(actor=actor_of(request), user_id=user.pk)

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, is_active=True)

    @admin.action(description="Deactivate")
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, is_active=False)

    @admin.action(description="Send a reset mail")
    def send_reset_mail(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self.apply_to_each(request, queryset, lambda user: self._send_reset(request, user), _RESET_SENT)

    def _set_active(self, request: HttpRequest, users: QuerySet[User], *, is_active: bool) -> None:
        def change(user: User) -> None:
            self._require(request, "disable", user)
            services.update_user(actor=actor_of(request), user_id=user.pk, rule="users.disable", is_active=is_active)

        self.apply_to_each(request, users, change, "activated" if is_active else "deactivated")

    def _require(self, request: HttpRequest, verb: str, user: User) -> None:
        """Raise Denied where this site does not allow what the person's own role may."""
        if not self.allows(request, verb, user):
            raise Denied(action=f"users.{verb}", target=user)


class UserManagerAdmin(CosmoUserAdmin):
    """Everybody but superusers, for managers: staff and viewers are theirs to edit, passwords are not."""

    sets_passwords = False
    add_form = InvitedUserForm
    add_fieldsets = ((None, {"fields": _PERSON, "description": "An invitation by mail lets him set his password."}),)


class SessionAdmin(RuledAdmin):
    """One's own sign-ins, in apps and browsers."""

    domain = "account"
    list_display = ("user_agent", "ip_address", "started_at", "last_seen_at", "is_this_one")
    list_display_links = None
    actions = ("end",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_authenticated

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        return live_sessions(actor_of(request)).annotate(is_current=is_current(request))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return super().changelist_view(request, {"title": "Where you are signed in", **(extra_context or {})})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise Http404  # the trail tells of the person, not of each sign-in

    @admin.display(boolean=True, description="this one")
    def is_this_one(self, session: Any) -> bool:
        return bool(session.is_current)

    @admin.action(description="End")
    def end(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        self.apply_to_each(request, queryset, sessions.end_session, "ended")


__all__ = ["CosmoUserAdmin", "SessionAdmin", "UserManagerAdmin"]
