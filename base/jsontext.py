"""JSON from strangers, decoded within bounds of size and depth, with every text in it valid."""

from __future__ import annotations

import json
from typing import Any

import orjson

from base.text import to_valid

MAX_DEPTH = 64
MAX_BYTES = 4 * 1024 * 1024


class JSONTextError(ValueError):
    """The text is no JSON, or more than is taken; the message says which and can be shown."""


def decode(data: str | bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES) -> Any:
    """Return the decoded value. Half a surrogate pair in it becomes U+FFFD. Raises JSONTextError.

    `max_depth` counts arrays and objects inside each other.
    """
    if len(data) > max_bytes:
        raise JSONTextError(f"The JSON is longer than {max_bytes} bytes.")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson refuses a lone surrogate and bytes that are not UTF-8; the standard parser reads both.
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except RecursionError:
            raise _too_deep(max_depth) from None
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number or constant is not JSON"
            raise JSONTextError(f"This is not JSON: {reason}.") from None
    return _valid(value, max_depth, max_depth)


def _valid(value: Any, levels: int, max_depth: int) -> Any:
    if isinstance(value, str):
        return to_valid(value)
    if not isinstance(value, (list, dict)):
        return value
    if not levels:
        raise _too_deep(max_depth)
    if isinstance(value, list):
        return [_valid(item, levels - 1, max_depth) for item in value]
    return {to_valid(name): _valid(item, levels - 1, max_depth) for name, item in value.items()}


def _too_deep(max_depth: int) -> JSONTextError:
    return JSONTextError(f"The JSON is nested more than {max_depth} levels deep.")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
