"""How users log in: their sessions, their devices, and the counters of the login throttle."""

import uuid

from django.db import models

from api.users.models import User


class Session(models.Model):
    """One login of a user on one device. Only the refresh token of the current generation is valid."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="sessions")
    generation = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    rotated_at = models.DateTimeField()  # when the previous generation became invalid
    previously_rotated_at = models.DateTimeField()  # when the generation before it became invalid
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [models.Index(fields=["user", "-started_at"], name="session_user")]

    def __str__(self) -> str:
        return f"{self.user_agent or 'Unknown device'} from {self.ip_address or 'unknown IP address'}"


class LoginAttemptCounter(models.Model):
    """Attempts in the current window, per network, per name and network, per name, or per device."""

    key = models.CharField(max_length=64, primary_key=True)  # keyed hash
    count = models.PositiveIntegerField()
    window_ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key


class Device(models.Model):
    """A browser or program on which a user has signed in, recognized by its cookie."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="devices")
    key_hash = models.CharField(max_length=64)  # keyed hash of the cookie's value
    user_agent = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key_hash", "user"], name="device_once_per_user")]

    def __str__(self) -> str:
        return self.user_agent or "Unknown device"
