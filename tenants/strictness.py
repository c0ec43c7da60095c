"""Serializers that take JSON at its word: a number is not a text, and "true" is not true.

DRF reads `{"name": 5}` as the text "5" and `{"is_shared": "no"}` as false, which suits forms. In JSON it hides mistakes
of the sender's, and it is not what the description promises. Bodies that are forms are read as ever.
"""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from rest_framework import serializers

_TYPES: list[tuple[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...], str]] = [
    (serializers.BooleanField, (bool,), "Must be true or false."),
    (serializers.IntegerField, (int,), "Must be a whole number."),
    (serializers.FloatField, (int, float), "Must be a number."),
    (serializers.CharField, (str,), "Must be a text."),
    (serializers.ChoiceField, (str, int), "Must be one of the choices."),
]


class StrictTypesMixin:
    """For a serializer's bases, before `Serializer` or `ModelSerializer`."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and not isinstance(data, QueryDict):
            fields = {field.field_name: field for field in self._writable_fields}  # type: ignore[attr-defined]
            faults = {name: [fault] for name in fields if name in data and (fault := _fault(fields[name], data[name]))}
            if faults:
                raise serializers.ValidationError(faults)
        return super().to_internal_value(data)  # type: ignore[misc]


def _fault(field: Any, value: Any) -> str | None:
    """Return what is wrong with the kind of a value; whether it may be missing, and how long, the field itself knows."""
    if value is None:
        return None
    if isinstance(field, serializers.ListField) and isinstance(value, list):
        return next(filter(None, (_fault(field.child, item) for item in value)), None)
    for kind, types, message in _TYPES:
        if isinstance(field, kind):
            fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            return None if fits else message
    return None
