"""The forms about a person in the admin sites. Flags, groups and permissions are in none of them."""

from typing import Any

from django import forms

from api.common.errors import Invalid
from api.users.models import User
from api.users.passwords import check_new_password
from api.users.selectors import find_login

_FLAT = ("username", "email", "first_name", "last_name", "role", "department", "phone_number", "timezone")


class _UniqueUserForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in ("username", "email"):
            found = find_login(values[name]) if values.get(name) else None
            if found is not None and found.pk != self.instance.pk:
                self.add_error(name, forms.ValidationError("Somebody has this already.", code="unique"))
        return values


class UserForm(_UniqueUserForm):
    class Meta:
        model = User
        fields = (*_FLAT, "is_active", "digest_opt_out", "notification_opt_out")


class InvitedUserForm(_UniqueUserForm):
    """A new person, who gets a mail to set his password."""

    class Meta:
        model = User
        fields = _FLAT


class NewUserForm(InvitedUserForm):
    """A new person, with a password or with an invitation."""

    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Leave it empty to send an invitation, by which he sets his own.",
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if values.get("password"):
            person = User(**{name: values.get(name, "") for name in ("username", "email", "first_name", "last_name")})
            try:
                check_new_password(values["password"], person, field="password")
            except Invalid as refusal:
                self.add_error("password", forms.ValidationError(refusal.errors["password"], code=refusal.code))
        return values
