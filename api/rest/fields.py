"""Serializer fields that accept only their JSON type, without conversion."""

import re
from datetime import datetime
from typing import Any, NoReturn

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.common.choices import EARLIEST, LATEST
from backend.http.converters import MAX_ID

_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


MAX_INPUT = 100  # characters of a value in an error


class ChoicesInErrors(serializers.ChoiceField):
    """A choice field whose error lists the allowed values."""

    default_error_messages = {"invalid_choice": '"{input}" is not a valid choice. Use one of: {choices}.'}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        if "input" in kwargs:
            kwargs["input"] = str(kwargs["input"])[:MAX_INPUT]
        super().fail(key, choices=", ".join(map(str, self.choices)), **kwargs)


class StrictCharField(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class StrictEmailField(serializers.EmailField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class StrictBooleanField(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictChoiceField(ChoicesInErrors):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=type(data).__name__)
        return super().to_internal_value(data)


class IdField(serializers.IntegerField):
    """An id: a JSON integer from 1 to 2^63-1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_ID, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class IdListField(serializers.ListField):
    """A list of at most `max_length` ids. Reject a longer list before checking its ids."""

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        kwargs.setdefault("child", IdField())  # deepcopy of a field passes its own child
        super().__init__(max_length=max_length, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        ids: list[Any] = super().to_internal_value(data)
        return ids


class RFC3339DateTimeField(serializers.DateTimeField):
    """An RFC 3339 date-time with an offset, from 2000 to 2100."""

    default_error_messages = {
        "invalid": "Use an RFC 3339 date-time with an offset, such as 2026-05-31T15:00:00Z.",
        "out_of_range": "The year must be from 2000 to 2100.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not _RFC3339.fullmatch(value):
            self.fail("invalid", format="")
        moment: datetime = super().to_internal_value(value.upper())
        if not EARLIEST <= moment < LATEST:
            self.fail("out_of_range")
        return moment


@extend_schema_field({"type": "object", "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2}})
class ChangesField(serializers.JSONField):
    """Changes of a row as {field: [old, new]}."""


class RelatedIdField(serializers.PrimaryKeyRelatedField):  # type: ignore[type-arg]
    """The id of an object that the user can choose. Unknown and invisible objects get the same error."""

    default_error_messages = {"does_not_exist": "There is no {noun} with id {pk_value} that you can choose."}

    def __init__(self, *, noun: str = "object", **kwargs: Any) -> None:
        super().__init__(pk_field=IdField(), **kwargs)
        text = self.error_messages["does_not_exist"]
        self.error_messages["does_not_exist"] = text.replace("{noun}", noun)
