"""Serializers that reject unknown, read-only and denied fields instead of ignoring them."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from django.db import models
from rest_framework import serializers

from api.common.errors import Denied
from api.rest import fields
from backend.http.problems import MAX_ERRORS


class StrictSerializer(serializers.Serializer[Any]):
    """Reject an unknown or read-only field with 400, and a field that the user must not set with 403.

    `read_only_hints` adds to the error of a read-only field how to change it.
    """

    denied_fields: ClassVar[Sequence[str]] = ()
    denied_action: ClassVar[str] = ""
    read_only_hints: ClassVar[Mapping[str, str]] = {}

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        denied = [name for name in self.denied_fields if name in data]
        if denied:
            raise Denied(
                action=self.denied_action,
                errors=dict.fromkeys(denied, "You do not have permission to set this field. Leave it out."),
            )
        rejected = islice((name for name in data if not self._is_writable(name)), MAX_ERRORS)
        errors = {name: self._rejection(name) for name in rejected}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(errors | dict(error.detail)) from None  # type: ignore[arg-type]
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def _is_writable(self, name: str) -> bool:
        return name in self.fields and not self.fields[name].read_only

    def _rejection(self, name: str) -> list[serializers.ErrorDetail]:
        if name in self.fields:
            return [
                serializers.ErrorDetail(
                    f"This field is read-only. {self.read_only_hints.get(name, 'Leave it out.')}", code="read_only"
                )
            ]
        return [
            serializers.ErrorDetail(
                "There is no such field. Check its spelling, or leave it out.", code="unknown_field"
            )
        ]


class EmptySerializer(StrictSerializer):
    """The empty body of an action without fields."""


class StrictModelSerializer(StrictSerializer, serializers.ModelSerializer[Any]):
    """A model serializer whose fields accept only their JSON type."""

    serializer_choice_field = fields.StrictChoiceField
    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.StrictCharField,
        models.TextField: fields.StrictCharField,
        models.EmailField: fields.StrictEmailField,
        models.BooleanField: fields.StrictBooleanField,
        models.DateTimeField: fields.RFC3339DateTimeField,
    }
