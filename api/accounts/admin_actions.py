"""Account actions in the admin sites: password reset emails, sessions, passwords, activation."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from api.accounts import password_reset
from api.accounts.pages import SetPasswordForm
from api.accounts.services import admin_set_password, end_sessions_of
from api.adminkit.model_admin import RuledAdmin, log_invalid_form, site_url
from api.common import rules
from api.common.errors import Denied, Invalid
from api.users import services
from api.users.models import User
from api.users.selectors import actor_of

_RESET_QUEUED = "a password reset email is queued"


class AccountActionsMixin(RuledAdmin):
    """Buttons and bulk actions on user accounts. The rules table decides; services do the work."""

    sets_passwords: ClassVar[bool] = True
    actions = ("activate", "deactivate", "send_reset_email")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<id:pk>/password-reset/", view(self.password_reset_view), name="api_user_password_reset"),
            path("<id:pk>/end-sessions/", view(self.end_sessions_view), name="api_user_end_sessions"),
            *super().get_urls(),
        ]

    def action_urls(self, request: HttpRequest, user: User) -> dict[str, str]:
        """Return the URLs of the buttons that the actor may use on this user."""
        actions = (
            ("password_reset_url", "api_user_password_reset", self.allows(request, "send_reset", user)),
            ("set_password_url", "auth_user_password_change", self._can_set_passwords(request)),
            ("end_sessions_url", "api_user_end_sessions", self.allows(request, "end_sessions", user)),
        )
        return {name: site_url(self.admin_site, view, user.pk) for name, view, is_allowed in actions if is_allowed}

    @method_decorator(sensitive_post_parameters())
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a user's password without an email. Only superusers may, in /admin/."""
        user = self.get_object(request, unquote(id))
        if not self._can_set_passwords(request):
            raise Denied(action="password_change", target=user)
        if user is None:
            raise Http404
        form = SetPasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                password = form.cleaned_data["new_password1"]
                admin_set_password(actor=actor_of(request), user_id=user.pk, new_password=password)
            except Invalid as error:
                form.add_service_errors(error)
            else:
                messages.success(request, f"The password of {user} was set. All their sessions have ended.")
                return HttpResponseRedirect(self._change_url(user))
        if request.method == "POST":
            log_invalid_form(form, "set_password")
        context = {**self.admin_site.each_context(request), "title": f"Set the password of {user}"}
        context |= {"form": form, "original": user, "opts": self.opts}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/api/user/set_password.html", context)

    def password_reset_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a password reset email to one user."""
        return self._run_single_action(request, pk, self._send_reset, _RESET_QUEUED)

    def end_sessions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """End all sessions of one user."""
        return self._run_single_action(request, pk, self._end_sessions, "all sessions have ended")

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, is_active=True)

    @admin.action(description="Deactivate")
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, is_active=False)

    @admin.action(description="Send password reset email")
    def send_reset_email(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self.apply_to_each(request, queryset, lambda user: self._send_reset(request, user), _RESET_QUEUED)

    def _run_single_action(
        self, request: HttpRequest, pk: int, run: Callable[[HttpRequest, User], None], done: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        user = self.get_queryset(request).filter(pk=pk).first()
        if user is None:
            raise Http404
        self.apply_to_each(request, [user], lambda row: run(request, row), done)
        return HttpResponseRedirect(self._change_url(user))

    def _change_url(self, user: User) -> str:
        return site_url(self.admin_site, "api_user_change", user.pk)

    def _can_set_passwords(self, request: HttpRequest) -> bool:
        return self.sets_passwords and rules.allows("users.set_password", actor_of(request))

    def _send_reset(self, request: HttpRequest, user: User) -> None:
        password_reset.send_reset(actor=actor_of(request), user_id=user.pk)

    def _end_sessions(self, request: HttpRequest, user: User) -> None:
        self._require(request, "end_sessions", user)
        end_sessions_of(actor=actor_of(request), user_id=user.pk)

    def _set_active(self, request: HttpRequest, users: QuerySet[User], *, is_active: bool) -> None:
        def change(user: User) -> None:
            self._require(request, "disable", user)
            services.update_user(actor=actor_of(request), user_id=user.pk, rule="users.disable", is_active=is_active)

        self.apply_to_each(request, users, change, "activated" if is_active else "deactivated")

    def _require(self, request: HttpRequest, verb: str, user: User) -> None:
        """Raise Denied if this site forbids what the actor's own role allows."""
        if not self.allows(request, verb, user):
            raise Denied(action=f"users.{verb}", target=user)
