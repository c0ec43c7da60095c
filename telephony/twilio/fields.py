"""Single values of the carrier's forms. They come from other networks, so they may hold anything."""

from __future__ import annotations

from collections.abc import Mapping

from base.text import to_valid

MAX_SID_LENGTH = 64
MAX_SECONDS = 7 * 24 * 60 * 60


def whole(text: str | None, *, most: int = MAX_SECONDS) -> int | None:
    """Return the whole number, or None for anything else, and for more than a column holds."""
    if not text or len(text) > 12 or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if int(text) <= most else None


def is_sid(text: str) -> bool:
    return 0 < len(text) <= MAX_SID_LENGTH and text.isascii() and text.isalnum()


def valid_form(form: Mapping[str, str]) -> dict[str, str]:
    """Return the form with every value as valid text; identifiers stay as they are, so that a faulty one is seen."""
    return {name: form[name] if name.endswith("Sid") else to_valid(form[name]) for name in form}
