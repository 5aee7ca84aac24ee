"""Web pages to reset a password by an emailed link, and to change it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView, TemplateView

from api.accounts import password_reset, throttle
from api.accounts.services import change_own_password
from api.adminkit.model_admin import log_invalid_form
from api.common.errors import Invalid, TooManyAttempts
from api.users.models import User
from api.users.passwords import MAX_LENGTH, MIN_LENGTH
from api.users.selectors import actor_of
from backend.http.error_pages import too_many_attempts


class NoReferrerMixin:
    """Prevents caching, and keeps the URL of the page out of Referer headers."""

    @method_decorator(never_cache)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        except TooManyAttempts as error:
            response = too_many_attempts(error.headers)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


class PasswordResetForm(forms.Form):
    email = forms.EmailField(
        label="Email address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )


def _password_field(label: str, **attributes: Any) -> forms.CharField:
    """Return a password field that keeps leading and trailing spaces."""
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password", **attributes})
    return forms.CharField(label=label, strip=False, max_length=MAX_LENGTH, widget=widget)


class SetPasswordForm(forms.Form):
    """Asks for a new password twice. The service checks its strength."""

    new_password1 = _password_field("New password", autofocus=True)
    new_password2 = _password_field("Repeat password")

    def __init__(self, user: User | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["new_password1"].help_text = f"{MIN_LENGTH} to {MAX_LENGTH} characters."

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if values.get("new_password1") and values.get("new_password2") not in {None, values["new_password1"]}:
            self.add_error(
                "new_password2",
                forms.ValidationError("The passwords differ. Enter the same password twice.", code="password_mismatch"),
            )
        return values

    def add_service_errors(self, error: Invalid) -> None:
        """Add the errors of a service to their fields, or to the form."""
        for name, detail in error.errors.items():
            field = "new_password1" if name == "new_password" else name
            self.add_error(field if field in self.fields else None, forms.ValidationError(detail, code=error.code))


class PasswordChangeForm(SetPasswordForm):
    current_password = _password_field("Current password", autocomplete="current-password")
    field_order = ("current_password", "new_password1", "new_password2")


@method_decorator(sensitive_post_parameters(), name="dispatch")
class PasswordChangeView(FormView):
    """Changes the password of the signed-in user and ends all their sessions."""

    form_class = PasswordChangeForm
    template_name = "accounts/password_change.html"

    def form_invalid(self, form: PasswordChangeForm) -> HttpResponse:
        log_invalid_form(form, "password_change")
        return super().form_invalid(form)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            change_own_password(
                user=actor_of(self.request),
                current_password=values["current_password"],
                new_password=values["new_password1"],
            )
        except Invalid as error:
            form.add_service_errors(error)
            return self.form_invalid(form)
        messages.success(self.request, "Your password was changed. Sign in with the new password.")
        return super().form_valid(form)


class PasswordResetView(NoReferrerMixin, FormView):
    """Requests a reset email. The response does not reveal whether the account exists."""

    form_class = PasswordResetForm
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("password-reset-sent")

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        password_reset.request_reset(email=form.cleaned_data["email"])
        return super().form_valid(form)


class PasswordResetSentView(NoReferrerMixin, TemplateView):
    template_name = "accounts/password_reset_sent.html"


class _ThrottledConfirmView(auth_views.PasswordResetConfirmView):
    """Counts requests with an invalid link in the login throttle, for their network."""

    is_link_invalid = False

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            with throttle.count_attempt():
                response = super().dispatch(*args, **kwargs)
                if self.is_link_invalid:
                    raise throttle.InvalidCredentials
        except throttle.InvalidCredentials:
            pass
        return response


@method_decorator(sensitive_post_parameters(), name="dispatch")
class PasswordResetConfirmView(NoReferrerMixin, _ThrottledConfirmView):
    """Sets a password by an emailed link. As in Django, the token moves from the URL into the session."""

    form_class = SetPasswordForm  # type: ignore[assignment]
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("password-reset-complete")

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and user.is_active else None

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> Any:
        if not context.get("validlink"):
            self.is_link_invalid = True
            is_used = self.request.method == "POST"
            report = password_reset.record_invalid_link if is_used else password_reset.log_invalid_link
            report(uid=self.kwargs["uidb64"], token=self.kwargs["token"])
        return super().render_to_response(context, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        token = self.request.session.get(INTERNAL_RESET_SESSION_TOKEN, "")
        try:
            password_reset.validate_link(
                uid=self.kwargs["uidb64"], token=token, new_password=form.cleaned_data["new_password1"]
            )
        except password_reset.InvalidLink:
            return HttpResponseRedirect(self.request.path)
        except Invalid as error:
            form.add_service_errors(error)
            return self.form_invalid(form)
        del self.request.session[INTERNAL_RESET_SESSION_TOKEN]
        return HttpResponseRedirect(str(self.success_url))


class PasswordResetCompleteView(NoReferrerMixin, TemplateView):
    template_name = "accounts/password_reset_complete.html"
