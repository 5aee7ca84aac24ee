"""Serializers that name what they do not know, instead of leaving it out in silence."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from django.db import models
from rest_framework import serializers

from api.common.errors import Denied
from api.rest import fields
from backend.http.problems import MAX_ERRORS


class StrictSerializer(serializers.Serializer[Any]):
    """400 for a field that is unknown or read-only; 403 for one that exists but that this person may not set."""

    denied_fields: ClassVar[Sequence[str]] = ()
    denied_action: ClassVar[str] = ""

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        denied = [name for name in self.denied_fields if name in data]
        if denied:
            raise Denied(action=self.denied_action, errors=dict.fromkeys(denied, "You may not set this field."))
        refused = islice((name for name in data if not self._is_writable(name)), MAX_ERRORS)
        errors = {name: self._refusal(name) for name in refused}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(errors | dict(error.detail)) from None  # type: ignore[arg-type]
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def _is_writable(self, name: str) -> bool:
        return name in self.fields and not self.fields[name].read_only

    def _refusal(self, name: str) -> list[serializers.ErrorDetail]:
        if name in self.fields:
            return [serializers.ErrorDetail("This field is read-only.", code="read_only")]
        return [serializers.ErrorDetail("There is no such field.", code="unknown_field")]


class EmptySerializer(StrictSerializer):
    """An action that needs no more than its address."""


class StrictModelSerializer(StrictSerializer, serializers.ModelSerializer[Any]):
    """A model whose fields take the JSON type they name."""

    serializer_choice_field = fields.StrictChoiceField
    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.StrictCharField,
        models.TextField: fields.StrictCharField,
        models.EmailField: fields.StrictEmailField,
        models.BooleanField: fields.StrictBooleanField,
        models.DateTimeField: fields.RFC3339DateTimeField,
    }
