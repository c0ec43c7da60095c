"""A client of MCP servers over Streamable HTTP (2025-03-26 and later): initialize, tools/list, tools/call.

Our own rather than the protocol's SDK, because every request has to go to an address that was judged: the SDK resolves
names by itself and follows redirects. Servers may answer with JSON or with one stream of events; both are read. Servers of
other people speak older versions, forget sessions with a 400 where the protocol says 404, or have none: a conversation that
was kept and is refused is begun anew, once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from agents.connected.requests import usable_headers
from base.jsontext import JSONTextError, decode
from crm.hooks.addresses import read_networks
from crm.hooks.sending import Outcome, send

VERSION = "2025-06-18"
CLIENT = {"name": "thanotopolis", "version": "1"}
MAX_BYTES = 512 * 1024
MAX_PAGES = 10
MAX_TEXT = 200_000  # characters of one answer that are looked at
# What servers answer to a session they do not know: 404 by the protocol, 400 by the makers' own SDKs, until late in 2025.
FORGOTTEN = frozenset({400, 404, 410})
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}")
_SESSION = re.compile(r"[\x21-\x7e]{1,1000}")  # visible ASCII, as the protocol says
_END_OF_EVENT = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_HINTS = {
    401: "It does not accept the headers: look at the token.",
    403: "It does not accept the headers: look at the token.",
    405: "It may speak the older transport of two addresses (HTTP+SSE), which is not supported: ask for its /mcp address.",
}


class McpError(Exception):
    """The server did not answer as it should; the text says how, and holds nothing of the request."""

    def __init__(self, why: str, *, may_begin_anew: bool = False) -> None:
        super().__init__(why)
        self.may_begin_anew = may_begin_anew


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a server and we have agreed on: a session, empty for servers without, and the version they chose."""

    session: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    tools: list[Any]
    has_more: bool = False


class McpClient:
    """One conversation with a server, within one time limit. `agreed` may be that of an earlier conversation."""

    def __init__(self, *, url: str, headers: Mapping[str, str], time_limit_s: float, agreed: Agreed | None = None) -> None:
        self._url = url
        self._headers = usable_headers(headers, own=("content-type", "accept", "mcp-session-id", "mcp-protocol-version"))
        self._ends_at = time.monotonic() + time_limit_s
        self._number = 0
        self.agreed = agreed

    def list_tools(self, *, most: int = 1_000) -> Listed:
        """Return the server's tools as it describes them, `most` or a page more. Raises McpError."""
        found: list[Any] = []
        cursor, seen = "", set()
        for _ in range(MAX_PAGES):
            page = self._ask("tools/list", {"cursor": cursor} if cursor else {})
            tools = page.get("tools")
            if not isinstance(tools, list):
                raise McpError("The server's list of tools is none.")
            found += tools
            cursor = page.get("nextCursor") or ""
            if not isinstance(cursor, str) or not cursor or cursor in seen:
                return Listed(found)
            if len(found) > most:
                break
            seen.add(cursor)
        return Listed(found, has_more=True)

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """Return what a tool answers, and whether it failed by its own account. Raises McpError."""
        result = self._ask("tools/call", {"name": name, "arguments": dict(arguments)})
        content = result.get("content")
        parts = content if isinstance(content, list) else [content] if content else []
        texts = [text for text in map(_text_of, parts) if text]
        if not texts and (data := result.get("structuredContent")) is not None:
            texts = [json.dumps(data, ensure_ascii=False)]
        if not texts and parts:
            texts = ["The answer is no text: it cannot be told here."]
        return "\n".join(texts)[:MAX_TEXT], result.get("isError") is True

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if self.agreed is None:
            self._begin()
            return self._request(method, params)
        try:
            return self._request(method, params)
        except McpError as error:
            if not error.may_begin_anew:
                raise
        self._begin()
        return self._request(method, params)

    def _begin(self) -> None:
        self.agreed = None
        params = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": CLIENT}
        result, session = self._exchange("initialize", params)
        version = result.get("protocolVersion")
        if not isinstance(version, str) or not _DATED.fullmatch(version):
            raise McpError("The server names no version of the protocol.")
        self.agreed = Agreed(session if _SESSION.fullmatch(session) else "", version)
        # A server that minds this says so to the next request.
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}, 0)

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return self._exchange(method, params)[0]

    def _exchange(self, method: str, params: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Return a request's result, and the session that came with it."""
        self._number += 1
        outcome = self._post({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}, self._number)
        if not outcome.is_success:
            raise McpError(_why(outcome), may_begin_anew=outcome.status_code in FORGOTTEN)
        answer = _find(outcome.excerpt, self._number)
        if (error := answer.get("error")) is not None:
            told = error.get("message") if isinstance(error, dict) else None
            told = told if isinstance(told, str) else ""
            is_forgotten = any(word in told.casefold() for word in ("session", "not initialized"))
            raise McpError(f"The server refused: {told[:150]}", may_begin_anew=is_forgotten)
        result = answer.get("result")
        if not isinstance(result, dict):
            raise McpError("The server's answer is none.")
        return result, outcome.headers.get("mcp-session-id", "")

    def _post(self, message: dict[str, Any], number: int) -> Outcome:
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise McpError("The server takes too long.")
        agreed = self.agreed
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **({"MCP-Protocol-Version": agreed.version} if agreed else {}),
            **({"Mcp-Session-Id": agreed.session} if agreed and agreed.session else {}),
        }
        return send(
            url=self._url,
            body=json.dumps(message).encode(),
            headers=headers,
            allowed=read_networks(settings.ENV.webhook_allowed_networks),
            timeout_s=left_s,
            excerpt_length=MAX_BYTES,
            max_bytes=MAX_BYTES,
            is_enough=_until_answered(number),
        )


def _why(outcome: Outcome) -> str:
    status = outcome.status_code
    if status is None:
        return f"{outcome.problem.label}."
    if to := outcome.headers.get("location", ""):
        return f"It answers that its address is {to[:120]} (status {status})."
    return " ".join(filter(None, (f"{outcome.problem.label} (status {status}).", _HINTS.get(status, ""))))


def _text_of(part: Any) -> str:
    """Return a piece of an answer as a model can read it."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    resource: Any = part.get("resource")
    resource = resource if isinstance(resource, dict) else {}
    for text in (part.get("text"), resource.get("text"), part.get("uri"), resource.get("uri")):
        if isinstance(text, str) and text:
            return text
    return ""


def _find(text: str, number: int) -> dict[str, Any]:
    """Return the answer to a request out of JSON or a stream of events; other messages in it are passed over."""
    text = text.lstrip("\ufeff \t\r\n")
    for body in [text] if text.startswith(("{", "[")) else _events(text):
        if (answer := _answer_in(body, number)) is not None:
            return answer
    raise McpError("The server sent no answer that can be read.")


def _answer_in(body: str | bytes, number: int) -> dict[str, Any] | None:
    try:
        message = decode(body, max_bytes=MAX_BYTES)
    except JSONTextError:
        return None
    for one in message if isinstance(message, list) else [message]:
        if isinstance(one, dict) and str(one.get("id")) == str(number) and ("result" in one or "error" in one):
            return one
    return None


def _events(text: str) -> list[str]:
    found = []
    for event in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:")]
        if lines:
            found.append("\n".join(lines))
    return found


def _until_answered(number: int) -> Callable[[bytearray], bool]:
    """Return what tells when a stream of events has brought our answer: some servers leave it open behind that.

    Each byte is looked at once, however small the pieces are that it comes in.
    """
    begins = seen = 0

    def is_answered(data: bytearray) -> bool:
        nonlocal begins, seen
        while end := _END_OF_EVENT.search(data, max(begins, seen - 3)):
            event = data[begins : end.end()].decode("utf-8", "replace")
            begins = end.end()
            if any(_answer_in(body, number) is not None for body in _events(event)):
                return True
        seen = len(data)
        return False

    return is_answered
