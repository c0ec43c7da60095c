"""The vendor's form encoding: `items[0][price]=price_1&metadata[org]=3` is nested lists and objects."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

_PART = re.compile(r"\[([^\]]*)\]")


def parse(body: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        head, _, rest = name.partition("[")
        path = [head, *_PART.findall(f"[{rest}")] if rest else [head]
        _put(found, path, value)
    return {key: _listed(value) for key, value in found.items()}


def _put(into: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        into = into.setdefault(part, {})
    last = path[-1]
    into[last if last else str(len(into))] = value


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(one) for key, one in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def is_true(value: Any) -> bool:
    return str(value).lower() == "true"
