"""Query strings: every parameter is declared and checked; an unknown one is refused by name."""

import re
from collections.abc import Sequence
from typing import Any

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backend.http.converters import MAX_ID

MAX_PAGE_SIZE = 100
MAX_PAGE = 2**31
MAX_PARAMETERS = 100  # counted with their repetitions


class DigitsField(serializers.Field[Any, Any, Any, Any]):
    """A whole number written in digits."""

    default_error_messages = {"invalid": "Write a whole number from {minimum} to {maximum}."}

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        self.minimum, self.maximum = minimum, maximum
        super().__init__(**kwargs)

    def to_internal_value(self, data: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", data) or not self.minimum <= int(data) <= self.maximum:
            self.fail("invalid", minimum=self.minimum, maximum=self.maximum)
        return int(data)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": MAX_ID})
class IdParameter(DigitsField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(minimum=1, maximum=MAX_ID, **kwargs)


@extend_schema_field({"type": "boolean"})
class BooleanParameter(serializers.Field[Any, Any, Any, Any]):
    default_error_messages = {"invalid": "Write true or false."}

    def to_internal_value(self, data: str) -> bool:
        if data not in {"true", "false"}:
            self.fail("invalid")
        return data == "true"


class OrderingParameter(serializers.RegexField):
    """Field names, comma separated, each with a minus for descending."""

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        self.names = names
        word = f"-?(?:{'|'.join(names)})"
        kwargs |= {"help_text": "Comma separated; a minus sorts descending."}
        super().__init__(rf"^{word}(?:,{word}){{0,3}}\Z", trim_whitespace=False, **kwargs)
        self.error_messages["invalid"] = f"Order by {', '.join(names)}; a minus sorts descending."


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1})
class PageParameter(DigitsField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(minimum=1, maximum=MAX_PAGE, **kwargs)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": 20})
class PageSizeParameter(DigitsField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(minimum=1, maximum=MAX_PAGE_SIZE, **kwargs)


class QueryParamsSerializer(serializers.Serializer[Any]):
    """The parameters of one address; subclasses declare them, all optional."""

    def to_internal_value(self, data: QueryDict) -> Any:
        if sum(len(given) for _, given in data.lists()) > MAX_PARAMETERS:
            detail = f"Give at most {MAX_PARAMETERS} parameters."
            raise serializers.ValidationError({"non_field_errors": [detail]}, code="too_many_parameters")
        errors: dict[str, list[serializers.ErrorDetail]] = {}
        values: dict[str, Any] = {}
        for name, given in data.lists():
            field = self.fields.get(name)
            if field is None:
                errors[name] = [serializers.ErrorDetail("There is no such parameter.", code="unknown_parameter")]
            elif isinstance(field, serializers.MultipleChoiceField):
                values[name] = given
            elif len(given) > 1:
                errors[name] = [serializers.ErrorDetail("Give this parameter once.", code="repeated_parameter")]
            else:
                values[name] = given[0]
        try:
            validated = super().to_internal_value(values)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(errors | dict(error.detail)) from None  # type: ignore[arg-type]
        if errors:
            raise serializers.ValidationError(errors)
        return validated


class PaginationParams(QueryParamsSerializer):
    page = PageParameter(required=False)
    page_size = PageSizeParameter(required=False)


class SearchParameter(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=200, trim_whitespace=False, allow_blank=True, **kwargs)


class ListParams(PaginationParams):
    search = SearchParameter(required=False)
