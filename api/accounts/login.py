"""Authentication by password: login and password confirmation. Both count in the login throttle."""

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
    """Return the user with these credentials whose role has the permission `rule`.

    Raise Unauthenticated, which does not reveal the cause, or TooManyAttempts if the login throttle rejects it.
    """
    user = find_login(login)
    try:
        with throttle.count_attempt(login, device=devices.find_known_device(user)):
            return _check_credentials(user, password, rule)
    except throttle.InvalidCredentials as error:
        _record_failure(user, error, detail="" if user else f"unknown account {hashed_login(login)}")
        raise Unauthenticated(
            "The username or the password is wrong. Check both and try again.", code="wrong_credentials"
        ) from None


def log_in(*, login: str, password: str) -> tuple[User, dict[str, str], str]:
    """Sign in: return the user, their tokens and the value for the device cookie. Raise as `authenticate` does."""
    user = authenticate(login=login, password=password)
    request_context.set_user(user.pk)
    with transaction.atomic():
        lock_unchanged_account(user)
        tokens = sessions.open_session(user)
        update_last_login(type(user), user)
        device_key = devices.remember_device(user)
        record(Event.LOGIN_SUCCESS, actor=user)
    return user, tokens, device_key


def lock_unchanged_account(user: User) -> None:
    """Lock the user row. Raise Unauthenticated if the account changed while the password was being hashed."""
    if not lock_rows(User.objects.filter(pk=user.pk, session_epoch=user.session_epoch, is_active=True)):
        raise Unauthenticated("The account has just changed. Sign in again.", code="wrong_credentials")


def require_password(user: User, password: str) -> None:
    """Raise Invalid, naming current_password, unless this is the user's password; counts for their username."""
    try:
        with throttle.count_attempt(user.username, device=devices.find_known_device(user)):
            if not user.check_password(password):
                raise throttle.InvalidCredentials
    except throttle.InvalidCredentials as error:
        _record_failure(user, error, detail="current password")
        raise Invalid({"current_password": "This is not your current password."}, code="wrong_password") from None


def _check_credentials(user: User | None, password: str, rule: str) -> User:
    if user is None:
        make_password(password)  # equal work: the response time must not reveal whether the account exists
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
    """Return the hash under which the audit trail holds an unknown login name."""
    # Users sometimes type their password into the username field, so the text itself is never stored.
    # The salt must not change: one name has one hash in the whole trail.
    return salted_hmac("api.users.sign_in", normalize_login(login), algorithm="sha256").hexdigest()[:16]
