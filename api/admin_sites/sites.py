"""The two admin sites: /admin/ for superusers, /manager/ for managers."""

import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from api.accounts.devices import remember_device, set_device_cookie
from api.accounts.login import authenticate
from api.accounts.pages import PasswordChangeView
from api.admin_sites.dashboard import dashboard_counts
from api.adminkit.model_admin import log_invalid_form, record_denial
from api.common import rules
from api.common.choices import Role
from api.common.errors import Denied, DomainError, TooManyAttempts, Unauthenticated
from api.operations.pages import operations_urls
from api.users.login_names import LOGIN_MAX_LENGTH
from api.users.models import User
from api.users.selectors import actor_of
from backend import request_context
from backend.logging_config import ADMIN, SECURITY

View = Callable[..., HttpResponseBase]

logger = logging.getLogger(ADMIN)
security_logger = logging.getLogger(SECURITY)

# (rule, name, title). A user's site is the first whose rule allows them.
_SITES = (("sites.admin", "admin", "Cosmo Administration"), ("sites.manager", "manager_admin", "Cosmo Manager"))


class SiteLoginForm(AdminAuthenticationForm):
    """Shares the login throttle of the API. Its error does not reveal what was wrong."""

    rule: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["username"]  # Django limits it to the length of a username, and only in the widget
        field.max_length = field.widget.attrs["maxlength"] = LOGIN_MAX_LENGTH  # type: ignore[attr-defined]
        field.validators.append(MaxLengthValidator(LOGIN_MAX_LENGTH))

    def clean(self) -> dict[str, Any]:
        login, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if login and password:
            try:
                user = authenticate(login=login, password=password, rule=self.rule)
            except Unauthenticated:
                raise ValidationError(
                    "The username or password is wrong, or your account uses another site. Check and try again.",
                    code="invalid_login",
                ) from None
            user.backend = "django.contrib.auth.backends.ModelBackend"
            self.user_cache = user
        return self.cleaned_data


class RoleSite(AdminSite):
    """An admin site for users with the permission `rule`."""

    rule: ClassVar[str]
    acting_role: ClassVar[str] = ""  # the role that all users act in here; empty: their own
    index_template = "admin/dashboard.html"
    login_template = "admin/site_login.html"
    enable_nav_sidebar = False
    site_url = settings.FRONTEND_URL or None  # "View site"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.login_form = type("LoginForm", (SiteLoginForm,), {"rule": self.rule})

    @property
    def urls(self) -> Any:
        urls = super().urls
        extra = {"event": "namespace_registered", "namespace": self.name}
        logger.debug("Admin namespace registered", extra=extra)
        return urls

    def get_urls(self) -> list[Any]:
        return [*operations_urls(self), *super().get_urls()]

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return isinstance(user, User) and user.is_active and rules.allows(self.rule, user)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        (other,) = [_link(site) for site in _SITES if site[1] != self.name]
        return super().each_context(request) | {"other_site": other}

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the models in the order of api/admin.py instead of alphabetically: daily work first."""
        return list(self._build_app_dict(request, app_label).values())

    def get_log_entries(self, request: HttpRequest) -> Any:
        return []  # the audit trail replaces Django's log

    def admin_view(self, view: View, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's
        """Respond 403 to signed-in users without permission; Django would redirect them to the login page."""
        permitted = super().admin_view(self._with_user_context(view), cacheable)

        def site_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not request.user.is_authenticated:
                return permitted(request, *args, **kwargs)
            _log_access(request)
            if not self.has_permission(request):
                return self._denied(request, Denied(action=_action(request)))
            return permitted(request, *args, **kwargs)

        return update_wrapper(never_cache(site_view), view)

    def _with_user_context(self, view: View) -> View:
        """Run the view in the user's time zone; record its denials after its transaction has ended."""

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with timezone.override(ZoneInfo(request.user.timezone)):  # type: ignore[union-attr]
                try:
                    _reject_nul(request)
                    response = view(request, *args, **kwargs)
                    return response.render() if isinstance(response, TemplateResponse) else response
                except Denied as denial:
                    return self._denied(request, denial)
                except PermissionDenied:
                    return self._denied(request, Denied(action=_action(request)))
                except TooManyAttempts as error:
                    return self._too_many(request, error)
                except DomainError as error:
                    messages.error(request, " ".join([*error.errors.values()] or [error.detail or ""]))
                    return HttpResponseRedirect(request.get_full_path())

        return update_wrapper(inner, view)

    def _denied(self, request: HttpRequest, denial: Denied) -> HttpResponse:
        user = actor_of(request)
        record_denial(request, denial)
        context = {
            **self.each_context(request),
            "title": "Not allowed",
            "denial": denial,
            "is_password": denial.action == "password_change",
            "is_here": self.has_permission(request),
            "right_site": next((_link(site) for site in _SITES if rules.allows(site[0], user)), None),
        }
        request.current_app = self.name
        return TemplateResponse(request, "admin/denied.html", context, status=403).render()

    def _too_many(self, request: HttpRequest, error: TooManyAttempts) -> HttpResponse:
        context = {**self.each_context(request), "title": "Too many attempts", "denial": error}
        page = TemplateResponse(request, "admin/denied.html", context, status=429, headers=dict(error.headers))
        return page.render()

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _set_redirect(request, reverse("admin:index", current_app=self.name))
        try:
            response = super().login(request, extra_context)
        except TooManyAttempts as error:
            return self._too_many(request, error)
        except Unauthenticated:  # the account changed during the login
            return HttpResponseRedirect(request.get_full_path())
        if request.method == "POST":
            form = (getattr(response, "context_data", None) or {}).get("form")
            if form is None:
                set_device_cookie(response, remember_device(actor_of(request)))
            else:
                log_invalid_form(form, "sign_in")
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Change the user's own password, then show the login page."""
        request.current_app = self.name
        url = reverse("admin:login", current_app=self.name)
        view = PasswordChangeView.as_view(success_url=url, extra_context=self.each_context(request))
        return view(request)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        context = {
            "dashboard": dashboard_counts(actor_of(request), role=self.acting_role),
            "title": "Dashboard",
        }
        return super().index(request, context | (extra_context or {}))


class CosmoAdminSite(RoleSite):
    rule = "sites.admin"
    site_title = site_header = _SITES[0][2]

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)


class ManagerSite(RoleSite):
    rule = "sites.manager"
    acting_role = Role.MANAGER  # hides superusers and rows about them
    site_title = site_header = _SITES[1][2]


def _set_redirect(request: HttpRequest, index: str) -> None:
    """Redirect to the dashboard after the login if `next` is missing or leads to another host."""
    target = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    values = request.POST.copy()
    values[REDIRECT_FIELD_NAME] = target if is_ours else index
    request.POST = values  # type: ignore[assignment]


def _reject_nul(request: HttpRequest) -> None:
    """Reject a NUL in the query string: our pages never send one, and databases fail on it."""
    if any("\x00" in value for _, values in request.GET.lists() for value in values):
        raise BadRequest("The query string contains a NUL character.")


def _link(site: tuple[str, str, str]) -> dict[str, str]:
    return {"title": site[2], "url": reverse("admin:index", current_app=site[1])}


def _log_access(request: HttpRequest) -> None:
    context = request_context.current()
    extra = {
        "event": "admin_access",
        "security_event": "admin_access",
        "security_category": "privileged_access",
        "user_id": request.user.pk,
        "user_role": getattr(request.user, "role", None),
        "ip_address": context.ip_address if context else None,
        "user_agent": context.user_agent if context else "",
    }
    security_logger.info("Admin access", extra=extra)


def _action(request: HttpRequest) -> str:
    """Return the attempted action by the name of the URL, such as user_change."""
    name = request.resolver_match.url_name if request.resolver_match else None
    if name in {None, "index"}:
        return "admin_access"
    return str(name).removeprefix("api_").removeprefix("auth_user_")
