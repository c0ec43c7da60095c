"""Telephone numbers for those who may not see them whole."""

from __future__ import annotations

from typing import Any


def mask_number(number: str) -> str:
    """`+15550100123` → `+1•••••••123`, `ann@pbx.example` → `a•••@pbx.example`; what is neither is left alone."""
    user, at, host = number.partition("@")
    if user and at and host:
        return f"{user[0]}•••@{host}"
    digits = number.removeprefix("+")
    if not digits.isdigit() or len(digits) < 6:
        return number
    return f"+{digits[0]}{'•' * (len(digits) - 4)}{digits[-3:]}"


def mask_numbers(detail: Any) -> Any:
    """Return an event's detail with every telephone number in it masked."""
    if isinstance(detail, dict):
        return {name: mask_numbers(value) for name, value in detail.items()}
    return mask_number(detail) if isinstance(detail, str) and detail.startswith("+") else detail
