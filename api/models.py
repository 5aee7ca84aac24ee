"""All models, imported where Django looks for them."""

from api.accounts.models import Device, LoginAttemptCounter, Session
from api.audit.models import AuditEntry
from api.idempotency.models import IdempotencyKey
from api.mail.models import OutgoingMail
from api.notifications.models import Notification
from api.operations.models import JobRun
from api.properties.models import Property
from api.tasks.models import Task, TaskDependency
from api.users.models import User

__all__ = [
    "AuditEntry",
    "Device",
    "IdempotencyKey",
    "JobRun",
    "LoginAttemptCounter",
    "Notification",
    "OutgoingMail",
    "Property",
    "Session",
    "Task",
    "TaskDependency",
    "User",
]
