"""User forms of the admin sites. They never contain flags, groups or permissions."""

from typing import Any

from django import forms

from api.common.errors import Invalid
from api.users.models import User
from api.users.passwords import check_new_password
from api.users.selectors import find_login

_FIELDS = ("username", "email", "first_name", "last_name", "role", "department", "phone_number", "timezone")


class _UniqueUserForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in ("username", "email"):
            user = find_login(values[name]) if values.get(name) else None
            if user is not None and user.pk != self.instance.pk:
                self.add_error(name, forms.ValidationError("Another user has this already.", code="unique"))
        return values


class UserForm(_UniqueUserForm):
    class Meta:
        model = User
        fields = (*_FIELDS, "is_active", "digest_opt_out", "notification_opt_out")


class InvitedUserForm(_UniqueUserForm):
    """A new user, who sets their password by an invitation email."""

    class Meta:
        model = User
        fields = _FIELDS


class NewUserForm(InvitedUserForm):
    """A new user with a password or an invitation email."""

    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Leave it empty to send an invitation email.",
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if values.get("password"):
            user = User(**{name: values.get(name, "") for name in ("username", "email", "first_name", "last_name")})
            try:
                check_new_password(values["password"], user, field="password")
            except Invalid as error:
                self.add_error("password", forms.ValidationError(error.errors["password"], code=error.code))
        return values
