"""The closed list of audit events. A new event needs a line here, a row in docs/logging.md and a test."""

import logging

from django.db import models

from backend.logging_config import ADMIN, API, SECURITY


class Event(models.TextChoices):
    """NAME = "event name in records", "message of the log line"."""

    TASK_CREATED = "task_created", "Task created successfully"
    TASK_UPDATED = "task_updated", "Task updated"
    TASK_ASSIGNED = "task_assigned", "Task assigned"
    TASK_STATUS_CHANGED = "task_status_changed", "Task status changed"
    TASK_COMPLETED = "task_completed", "Task completed"
    TASK_DELETED = "task_deleted", "Task deleted"
    TASK_RESTORED = "task_restored", "Task restored"

    PROPERTY_CREATED = "property_created", "Property created"
    PROPERTY_UPDATED = "property_updated", "Property updated"
    PROPERTY_DELETED = "property_deleted", "Property deleted"
    PROPERTY_RESTORED = "property_restored", "Property restored"

    USER_CREATED = "user_created", "User created"
    USER_UPDATED = "user_updated", "User updated"
    USER_DISABLED = "user_disabled", "User disabled"
    USER_ENABLED = "user_enabled", "User enabled"
    USER_DELETED = "user_deleted", "User deleted"
    ROLE_CHANGED = "role_changed", "Role changed"
    MAIL_RETRIED = "mail_retried", "Email retried"

    LOGIN_SUCCESS = "login_success", "User login successful"
    FAILED_LOGIN = "failed_login", "Failed login attempt"
    ACCOUNT_LOCKED = "account_locked", "Account locked"
    LOGOUT = "logout", "User logout"
    SESSION_ENDED = "session_ended", "Session ended"
    TOKEN_REUSE = "token_reuse", "Token reuse detected"
    PASSWORD_CHANGED = "password_changed", "Password changed"
    PASSWORD_RESET_REQUESTED = "password_reset_requested", "Password reset requested"
    PASSWORD_RESET_EMAIL_SENT = "password_reset_email_sent", "Password reset email sent"
    PASSWORD_RESET_EMAIL_FAILED = "password_reset_email_failed", "Password reset email failed"
    PASSWORD_RESET_COMPLETED = "password_reset_completed", "Password reset completed"
    PASSWORD_RESET_FAILED = "password_reset_failed", "Password reset failed"
    PERMISSION_DENIED = "permission_denied", "Permission denied"
    LOGS_READ = "logs_read", "Logs read"


PASSWORD = {
    Event.PASSWORD_CHANGED,
    Event.PASSWORD_RESET_REQUESTED,
    Event.PASSWORD_RESET_EMAIL_SENT,
    Event.PASSWORD_RESET_EMAIL_FAILED,
    Event.PASSWORD_RESET_COMPLETED,
    Event.PASSWORD_RESET_FAILED,
}
AUTHENTICATION = PASSWORD | {
    Event.LOGIN_SUCCESS,
    Event.FAILED_LOGIN,
    Event.ACCOUNT_LOCKED,
    Event.LOGOUT,
    Event.SESSION_ENDED,
    Event.TOKEN_REUSE,
}
AUTHORIZATION = {Event.PERMISSION_DENIED, Event.ROLE_CHANGED}
# Changes of other events can contain text that users wrote: only the audit trail stores them.
LOGGED_WITH_CHANGES = {Event.ROLE_CHANGED, Event.TASK_STATUS_CHANGED, Event.TASK_COMPLETED, Event.TASK_ASSIGNED}
WARNINGS = {
    Event.FAILED_LOGIN,
    Event.ACCOUNT_LOCKED,
    Event.TOKEN_REUSE,
    Event.PERMISSION_DENIED,
    Event.PASSWORD_RESET_FAILED,
    Event.PASSWORD_RESET_EMAIL_FAILED,
}


def category(event: Event) -> str:
    """Return the security category of an event; "" for events of daily work."""
    if event in AUTHENTICATION:
        return "authentication"
    if event is Event.LOGS_READ:
        return "privileged_access"
    return "authorization" if event in AUTHORIZATION else ""


def logger_name(event: Event, *, by_administrator: bool = False) -> str:
    """Return the logger of an event.

    Actions of administrators go to `api.admin`, security events to `api.security`, all others to `api`. The contract
    puts login_success on `api`, too.
    """
    if by_administrator or event in {Event.ROLE_CHANGED, Event.USER_DELETED, Event.MAIL_RETRIED}:
        return ADMIN
    return SECURITY if category(event) and event != Event.LOGIN_SUCCESS else API


def level(event: Event) -> int:
    return logging.WARNING if event in WARNINGS else logging.INFO
