"""A tool's arguments as an HTTP request. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SLASH = re.compile(r"[/\\]")
# What belongs to one connection or frames the message: who may set these can make two requests of one.
REFUSED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-authenticate", "proxy-connection", "accept-encoding", "http2-settings"}
)


class ArgumentError(ValueError):
    """The arguments make no request of this tool's own; the text says why, for whoever gave them."""


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    body: bytes
    headers: dict[str, str]


def build_request(*, method: str, url: str, headers: Mapping[str, str], arguments: Mapping[str, Any]) -> Request:
    """Put arguments into the address where it has their names in braces; the rest goes into query or JSON body.

    What is put in is quoted, slashes included, and steps up a path are refused: no argument can lead to another path or
    host. Raises ArgumentError.
    """
    left = dict(arguments)
    headers = usable_headers(headers)
    path_ends = min([url.find(mark) for mark in "?#" if mark in url], default=len(url))

    def place(match: re.Match[str]) -> str:
        value = _text(left.get(match.group(1), ""))
        if match.start() < path_ends and has_steps(value):
            raise ArgumentError(f"“{match.group(1)}” is a part of a path and cannot be “.” or “..”.")
        return quote(value, safe="")

    address = _PLACE.sub(place, url)
    # Two places side by side can make together what neither makes alone.
    if has_steps(re.split(r"[?#]", address, maxsplit=1)[0].partition("://")[2].partition("/")[2]):
        raise ArgumentError("The arguments lead out of the address's path.")
    for name in names_in(url):
        left.pop(name, None)
    if method in ("GET", "DELETE"):
        query = urlencode({name: _text(value) for name, value in left.items() if value is not None})
        joined = f"{address}{'&' if '?' in address else '?'}{query}" if query else address
        return Request(joined, b"", _with(headers, {"Accept": "application/json, text/plain"}))
    body = json.dumps(left, ensure_ascii=False).encode()
    ours = {"Accept": "application/json, text/plain", "Content-Type": "application/json"}
    return Request(address, body, _with(headers, ours))


def has_steps(text: str) -> bool:
    """Tell whether a text has `.` or `..` as a part of a path, also when it is quoted several times over."""
    for _ in range(4):
        if any(part.strip() in (".", "..") for part in _SLASH.split(text)):
            return True
        if (plain := unquote(text)) == text:
            return False
        text = plain
    return True  # nobody quotes that often who means well


def usable_headers(headers: Mapping[str, str], *, own: Iterable[str] = ()) -> dict[str, str]:
    """Return people's headers without those that are the connection's, or the request's `own` (in lower case)."""
    refused = REFUSED_HEADERS | set(own)
    return {name: value for name, value in headers.items() if name.lower() not in refused}


def _with(headers: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    given = {name.lower() for name in headers}
    return {**{name: value for name, value in ours.items() if name.lower() not in given}, **headers}


def names_in(url: str) -> list[str]:
    return _PLACE.findall(url)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
