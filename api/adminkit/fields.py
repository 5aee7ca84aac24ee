"""Form fields for related rows that reject everything except ids."""

from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError

from backend.http.converters import MAX_ID


def is_id(value: Any) -> bool:
    """Return whether a database accepts this value as an id."""
    text = str(value)
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_ID


class _IdsOnlyMixin:
    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        # An invalid form shows the sent values again, and Django looks them up in the database.
        return super().optgroups(name, [pk for pk in value if is_id(pk)], attr)  # type: ignore[misc]


class RelatedSelect(_IdsOnlyMixin, AutocompleteSelect):
    pass


class RelatedSelectMultiple(_IdsOnlyMixin, AutocompleteSelectMultiple):
    pass


class RelatedChoiceField(forms.ModelChoiceField):
    def to_python(self, value: Any) -> Any:
        if value not in self.empty_values and not is_id(getattr(value, "pk", value)):
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice", params={"value": value})
        return super().to_python(value)


class RelatedMultipleChoiceField(forms.ModelMultipleChoiceField):
    def clean(self, value: Any) -> Any:
        for pk in value or ():
            if not is_id(pk):
                raise ValidationError(self.error_messages["invalid_pk_value"], code="invalid", params={"pk": pk})
        return super().clean(value)
