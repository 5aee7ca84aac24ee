"""The user model and its validators."""

import zoneinfo
from functools import cache
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, validate_email
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Lower

from api.audit.events import Event
from api.audit.trail import record
from api.common.choices import Department, Role
from api.users.login_names import normalize_login

DEFAULT_TIMEZONE = "America/New_York"
# ASCII only, so that equal-looking names are equal. No @, so that usernames differ from email addresses.
validate_username = RegexValidator(r"\A[A-Za-z0-9._+-]{1,150}\Z", "Use letters, digits and . _ + - only.")
# Emails are unique ignoring case, and databases fold case differently outside ASCII.
validate_ascii_email = RegexValidator(r"\A[\x00-\x7f]*\Z", "Write a domain with other letters in its xn-- form.")
validate_phone_number = RegexValidator(r"\A\+?[0-9 ()./-]{3,40}\Z", "Write a phone number, like +1 212 555 0100.")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def validate_timezone(name: str) -> None:
    """Accept the names of the IANA time zone database."""
    if name not in _timezones():
        raise ValidationError("Write an IANA time zone, like America/New_York.", code="invalid")


class CosmoUserManager(UserManager["User"]):
    """Creates users whose role replaces Django's flags."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user with this username, ignoring case as the login does."""
        return self.alias(folded=Lower("username")).get(folded=normalize_login(username or ""))

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra_fields: Any
    ) -> "User":
        # createsuperuser checks only the username.
        if self.alias(folded=Lower("email")).filter(folded=normalize_login(email or "")).exists():
            raise ValidationError("Another user has this email address already.", code="unique")
        with transaction.atomic():
            user = super().create_superuser(username, email, password, **{**extra_fields, "role": Role.SUPERUSER})
            record(Event.USER_CREATED, actor=None, target=user, changes={"role": [None, user.role]})
        return user


class User(AbstractUser):
    """An account. `role` is the only source of truth; is_superuser and is_staff follow it."""

    username = models.CharField(max_length=150, unique=True, validators=[validate_username])
    email = models.EmailField(max_length=254, validators=[validate_email, validate_ascii_email])
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    role = models.CharField(max_length=20, choices=Role, default=Role.VIEWER)
    department = models.CharField(max_length=20, choices=Department, default=Department.GENERAL)
    phone_number = models.CharField(max_length=40, blank=True, validators=[validate_phone_number])
    timezone = models.CharField(max_length=64, default=DEFAULT_TIMEZONE, validators=[validate_timezone])
    digest_opt_out = models.BooleanField(default=False)
    notification_opt_out = models.BooleanField(default=False)  # no emails about urgent tasks
    # Increased to end all sessions and tokens at once.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)

    objects: ClassVar[CosmoUserManager] = CosmoUserManager()

    REQUIRED_FIELDS: ClassVar[list[str]] = ["email"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_once"),
            models.UniqueConstraint(Lower("email"), name="user_email_once"),
            models.CheckConstraint(condition=~Q(email=""), name="user_has_email"),
            models.CheckConstraint(
                condition=Q(role=Role.SUPERUSER, is_superuser=True, is_staff=True)
                | Q(role=Role.MANAGER, is_superuser=False, is_staff=True)
                | Q(role__in=[Role.STAFF, Role.VIEWER], is_superuser=False, is_staff=False),
                name="user_flags_follow_role",
            ),
            models.CheckConstraint(condition=Q(department__in=Department.values), name="user_department_known"),
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_superuser = self.role == Role.SUPERUSER
        self.is_staff = self.role in {Role.SUPERUSER, Role.MANAGER}
        if kwargs.get("update_fields") is not None and "role" in kwargs["update_fields"]:
            kwargs["update_fields"] = {*kwargs["update_fields"], "is_superuser", "is_staff"}
        super().save(*args, **kwargs)

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        # Browser sessions end when the epoch changes, too.
        return f"{super()._get_session_auth_hash(secret)}{self.session_epoch}"  # type: ignore[misc]
