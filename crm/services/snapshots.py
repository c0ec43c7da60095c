"""A contact's columns as JSON and back, for whatever keeps how a contact was before it was changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from crm.models import Contact


def dump(contact: Contact, names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(getattr(contact, _column(name))) for name in names}


def load(values: dict[str, Any]) -> dict[str, Any]:
    """Return what `dump` was given, by column, fit for `update()`."""
    return {name: _field(name).to_python(value) for name, value in values.items()}


def is_unchanged(contact: Contact, name: str, value: Any) -> bool:
    """Tell whether a column still holds what a snapshot says."""
    return bool(_plain(getattr(contact, _column(name))) == value)


def _field(name: str) -> Any:
    return Contact._meta.get_field(name.removesuffix("_id") if name == "owner_id" else name)


def _column(name: str) -> str:
    return "owner_id" if name == "owner" else name


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
