"""Rental properties."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from api.common.models import TrackedModel
from api.users.models import DEFAULT_TIMEZONE, validate_timezone


class PropertyType(models.TextChoices):
    APARTMENT = "apartment"
    HOUSE = "house"
    CONDO = "condo"
    TOWNHOUSE = "townhouse"
    CABIN = "cabin"
    VILLA = "villa"
    OTHER = "other"


class Property(TrackedModel):
    """A rental property. A soft delete also hides its tasks."""

    name = models.CharField(max_length=200)
    address = models.CharField(max_length=500)
    property_type = models.CharField(max_length=20, choices=PropertyType, default=PropertyType.OTHER)
    timezone = models.CharField(max_length=64, default=DEFAULT_TIMEZONE, validators=[validate_timezone])
    access_notes = models.TextField(max_length=10_000, blank=True)
    owners = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="properties", blank=True)
    is_active = models.BooleanField(default=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "properties"
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(deleted_at=None), name="property_name_once"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(address=""), name="property_name_and_address"),
            models.CheckConstraint(condition=Q(property_type__in=PropertyType.values), name="property_type_known"),
        ]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(deleted_at=None), name="property_created"),
            models.Index(fields=["modified_at"], condition=Q(deleted_at=None), name="property_modified"),
        ]

    def __str__(self) -> str:
        return self.name
