"""Password hashing and validation."""

import os
import threading
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from api.common.errors import Invalid
from api.users.models import User

# More parallel hashes than processors save no time, and each needs 46 MiB.
_PROCESSORS = threading.BoundedSemaphore(os.cpu_count() or 1)
MIN_LENGTH = 12
MAX_LENGTH = 128


class Argon2idPasswordHasher(Argon2PasswordHasher):
    """Argon2id with OWASP's parameters (46 MiB). Django's need 100 MiB and four times as long per login."""

    time_cost = 2
    memory_cost = 46 * 1024  # KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with _PROCESSORS:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _PROCESSORS:
            return super().verify(password, encoded)


class LengthValidator:
    """Checks the length in characters, untrimmed (NIST SP 800-63B, ASVS 6.2)."""

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) < MIN_LENGTH:
            raise ValidationError(f"Use at least {MIN_LENGTH} characters.", code="password_too_short")
        if len(password) > MAX_LENGTH:
            raise ValidationError(f"Use at most {MAX_LENGTH} characters.", code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password must have {MIN_LENGTH} to {MAX_LENGTH} characters."


def check_new_password(password: str, user: User, *, field: str) -> None:
    """Raise Invalid for `field` if the password is too weak."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({field: " ".join(error.messages)}, code="weak_password") from None
