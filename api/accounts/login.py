"""Signing in, and proving a password: both count against the login throttle."""

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import update_last_login
from django.db import transaction
from django.utils.crypto import salted_hmac

from api.accounts import devices, sessions, throttle
from api.audit.events import Event
from api.audit.trail import record
from api.common import rules
from api.common.errors import Invalid, Unauthenticated
from api.common.locking import lock_rows
from api.users.login_names import normalize_login
from api.users.models import User
from api.users.selectors import find_login
from backend import request_context


def authenticate(*, login: str, password: str, rule: str = "account.use") -> User:
    """Return the user whose password this is, and who may use this login path (`rule`).

    Unauthenticated says nothing about what was wrong; TooManyAttempts if the login throttle refuses the attempt.
    """
    user = find_login(login)
    try:
        with throttle.count_attempt(login, device=devices.find_known_device(user)):
            return _check_credentials(user, password, rule)
    except throttle.InvalidCredentials as error:
        _record_failure(user, error, detail="" if user else f"unknown account {hashed_login(login)}")
        raise Unauthenticated("The username or the password is wrong.", code="wrong_credentials") from None


def log_in(*, login: str, password: str) -> tuple[User, dict[str, str], str]:
    """Return the user, their tokens, and the value for the device cookie; refuse as `prove` does."""
    proven = authenticate(login=login, password=password)
    request_context.set_user(proven.pk)
    with transaction.atomic():
        lock_unchanged_account(proven)
        tokens = sessions.open_session(proven)
        update_last_login(type(proven), proven)
        device_key = devices.remember_device(proven)
        record(Event.LOGIN_SUCCESS, actor=proven)
    return proven, tokens, device_key


def lock_unchanged_account(proven: User) -> None:
    """Refuse where the password or the account changed while the old password was being hashed."""
    if not lock_rows(User.objects.filter(pk=proven.pk, session_epoch=proven.session_epoch, is_active=True)):
        raise Unauthenticated("The account has just changed. Sign in again.", code="wrong_credentials")


def require_password(user: User, password: str) -> None:
    """Raise Invalid, naming current_password, unless this is the user's password; counts for their username."""
    try:
        with throttle.count_attempt(user.username, device=devices.find_known_device(user)):
            if not user.check_password(password):
                raise throttle.InvalidCredentials
    except throttle.InvalidCredentials as error:
        _record_failure(user, error, detail="current password")
        raise Invalid({"current_password": "This is not your password."}, code="wrong_password") from None


def _check_credentials(user: User | None, password: str, rule: str) -> User:
    if user is None:
        make_password(password)  # the same work, so that the time does not tell who exists
        raise throttle.InvalidCredentials
    if not user.check_password(password) or not user.is_active or not rules.allows(rule, user):
        raise throttle.InvalidCredentials
    return user


def _record_failure(user: User | None, error: throttle.InvalidCredentials, *, detail: str) -> None:
    with transaction.atomic():
        record(Event.FAILED_LOGIN, actor=user, detail=detail, facts={"attempt_count": error.failures})
        for limit in error.reached:
            facts = {"attempt_count": limit.failures, "limit": limit.name}
            record(Event.ACCOUNT_LOCKED, actor=user, detail=detail, facts=facts)


def hashed_login(login: str) -> str:
    """Return what the audit trail holds of a name that no account has."""
    # Never the text itself: people type passwords there.
    # The salt of earlier rows, so that one name has one hash in the whole trail.
    return salted_hmac("api.users.sign_in", normalize_login(login), algorithm="sha256").hexdigest()[:16]
