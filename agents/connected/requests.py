"""A tool's arguments as an HTTP request. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    body: bytes
    headers: dict[str, str]


def build_request(*, method: str, url: str, headers: Mapping[str, str], arguments: Mapping[str, Any]) -> Request:
    """Put arguments into the address where it has their names in braces; the rest goes into query or JSON body.

    What is put in is quoted, slashes included: no argument can lead to another path or host.
    """
    left = dict(arguments)

    def place(match: re.Match[str]) -> str:
        return quote(_text(left.pop(match.group(1), "")), safe="")

    address = _PLACE.sub(place, url)
    if method in ("GET", "DELETE"):
        query = urlencode({name: _text(value) for name, value in left.items() if value is not None})
        joined = f"{address}{'&' if '?' in address else '?'}{query}" if query else address
        return Request(joined, b"", {"Accept": "application/json, text/plain", **headers})
    body = json.dumps(left, ensure_ascii=False).encode()
    return Request(address, body, {"Accept": "application/json, text/plain", "Content-Type": "application/json", **headers})


def names_in(url: str) -> list[str]:
    return _PLACE.findall(url)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
