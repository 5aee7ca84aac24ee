"""Query parameters: every parameter is declared and validated; unknown parameters are rejected."""

import re
from collections.abc import Sequence
from typing import Any

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.rest.fields import ChoicesInErrors
from backend.http.converters import MAX_ID

MAX_PAGE_SIZE = 100
MAX_PAGE = 2**31
MAX_PARAMETERS = 100  # repetitions included


class DigitsField(serializers.Field[Any, Any, Any, Any]):
    """An integer written in decimal digits."""

    default_error_messages = {"invalid": "Use an integer from {minimum} to {maximum}."}

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
    default_error_messages = {"invalid": "Use true or false."}

    def to_internal_value(self, data: str) -> bool:
        if data not in {"true", "false"}:
            self.fail("invalid")
        return data == "true"


class ChoiceParameter(ChoicesInErrors):
    """One of fixed values."""


class MultipleChoiceParameter(ChoicesInErrors, serializers.MultipleChoiceField):
    """Some of fixed values; the parameter can be repeated."""


class OrderingParameter(serializers.RegexField):
    """Comma-separated field names; a leading minus sorts in descending order."""

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        self.names = names
        name_pattern = f"-?(?:{'|'.join(names)})"
        error = f"Use up to four of: {', '.join(names)}. Separate them by commas; a minus sorts in descending order."
        kwargs |= {
            "help_text": "Comma-separated field names. A leading minus sorts in descending order.",
            "error_messages": {"invalid": error},
        }
        super().__init__(rf"^{name_pattern}(?:,{name_pattern}){{0,3}}\Z", trim_whitespace=False, **kwargs)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1})
class PageParameter(DigitsField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(minimum=1, maximum=MAX_PAGE, **kwargs)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": 20})
class PageSizeParameter(DigitsField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(minimum=1, maximum=MAX_PAGE_SIZE, **kwargs)


class QueryParamsSerializer(serializers.Serializer[Any]):
    """Validate the query parameters of an operation. Subclasses declare them as optional fields."""

    def to_internal_value(self, data: QueryDict) -> Any:
        if sum(len(sent) for _, sent in data.lists()) > MAX_PARAMETERS:
            detail = f"Send at most {MAX_PARAMETERS} query parameters."
            raise serializers.ValidationError({"non_field_errors": [detail]}, code="too_many_parameters")
        errors: dict[str, list[serializers.ErrorDetail]] = {}
        values: dict[str, Any] = {}
        for name, sent in data.lists():
            field = self.fields.get(name)
            if field is None:
                errors[name] = [self._unknown_parameter()]
            elif isinstance(field, serializers.MultipleChoiceField):
                values[name] = sent
            elif len(sent) > 1:
                errors[name] = [
                    serializers.ErrorDetail(
                        "This parameter appears more than once. Send it once.", code="repeated_parameter"
                    )
                ]
            else:
                values[name] = sent[0]
        try:
            validated = super().to_internal_value(values)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(errors | dict(error.detail)) from None  # type: ignore[arg-type]
        if errors:
            raise serializers.ValidationError(errors)
        return validated

    def _unknown_parameter(self) -> serializers.ErrorDetail:
        allowed = f"Use one of: {', '.join(self.fields)}." if self.fields else "This URL takes no parameters."
        return serializers.ErrorDetail(f"There is no such parameter. {allowed}", code="unknown_parameter")


class PaginationParams(QueryParamsSerializer):
    page = PageParameter(required=False)
    page_size = PageSizeParameter(required=False)


class SearchParameter(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=200, trim_whitespace=False, allow_blank=True, **kwargs)


class ListParams(PaginationParams):
    search = SearchParameter(required=False)
