"""A client of MCP servers over Streamable HTTP (protocol 2025-06-18): initialize, tools/list, tools/call.

Our own rather than the protocol's SDK, because every request has to go to an address that was judged: the SDK resolves
names by itself and follows redirects. Servers may answer with JSON or with one stream of events; both are read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from crm.hooks.addresses import read_networks
from crm.hooks.sending import send

VERSION = "2025-06-18"
CLIENT = {"name": "thanotopolis", "version": "1"}
MAX_BYTES = 512 * 1024
MAX_PAGES = 10
SESSION_GONE = 404


class McpError(Exception):
    """The server did not answer as it should; the text says how, and holds nothing of the request."""

    def __init__(self, why: str, *, is_session_gone: bool = False) -> None:
        super().__init__(why)
        self.is_session_gone = is_session_gone


class McpClient:
    """One conversation with a server, within one time limit. `session` may be one of an earlier conversation."""

    def __init__(self, *, url: str, headers: Mapping[str, str], time_limit_s: float, session: str = "") -> None:
        self._url = url
        self._headers = dict(headers)
        self._ends_at = time.monotonic() + time_limit_s
        self._is_ready = bool(session)
        self.session = session
        self._number = 0

    def list_tools(self) -> list[dict[str, Any]]:
        """Return the server's tools as it describes them. Raises McpError."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = self._ask("tools/list", {"cursor": cursor} if cursor else {})
            tools = page.get("tools")
            if not isinstance(tools, list):
                raise McpError("The server's list of tools is none.")
            found += [tool for tool in tools if isinstance(tool, dict)]
            cursor = page.get("nextCursor")
            if not cursor:
                break
        return found

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """Return what a tool answers, and whether it failed by its own account. Raises McpError."""
        result = self._ask("tools/call", {"name": name, "arguments": dict(arguments)})
        parts = [part for part in result.get("content") or [] if isinstance(part, dict)]
        texts = [str(part["text"]) for part in parts if part.get("type") == "text" and "text" in part]
        if not texts and (data := result.get("structuredContent")) is not None:
            texts = [json.dumps(data, ensure_ascii=False)]
        return "\n".join(texts), bool(result.get("isError"))

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if not self._is_ready:
            self._begin()
        try:
            return self._request(method, params)
        except McpError as error:
            if not (error.is_session_gone and self.session):
                raise
        self.session, self._is_ready = "", False  # the server has forgotten us: begin anew, once
        self._begin()
        return self._request(method, params)

    def _begin(self) -> None:
        params = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": CLIENT}
        self._request("initialize", params)
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self._is_ready = True

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        text = self._post({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        answer = _find(text, self._number)
        if (error := answer.get("error")) is not None:
            raise McpError(f"The server refused: {str(error.get('message', '') if isinstance(error, dict) else '')[:150]}")
        result = answer.get("result")
        if not isinstance(result, dict):
            raise McpError("The server's answer is none.")
        return result

    def _post(self, message: dict[str, Any]) -> str:
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise McpError("The server takes too long.")
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            **({"Mcp-Session-Id": self.session} if self.session else {}),
        }
        outcome = send(
            url=self._url,
            body=json.dumps(message).encode(),
            headers=headers,
            allowed=read_networks(settings.ENV.webhook_allowed_networks),
            timeout_s=left_s,
            excerpt_length=MAX_BYTES,
            max_bytes=MAX_BYTES,
        )
        if not outcome.is_success:
            status = f" (status {outcome.status_code})" if outcome.status_code else ""
            raise McpError(f"{outcome.problem.label}{status}.", is_session_gone=outcome.status_code == SESSION_GONE)
        self.session = outcome.headers.get("mcp-session-id", self.session)
        return outcome.excerpt


def _find(text: str, number: int) -> dict[str, Any]:
    """Return the answer to a request out of JSON or a stream of events; other messages in it are passed over."""
    bodies = [text] if text.lstrip().startswith(("{", "[")) else _events(text)
    for body in bodies:
        try:
            message = json.loads(body)
        except json.JSONDecodeError:
            continue
        for one in message if isinstance(message, list) else [message]:
            if isinstance(one, dict) and one.get("id") == number:
                return one
    raise McpError("The server sent no answer that can be read.")


def _events(text: str) -> list[str]:
    found = []
    for event in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:")]
        if lines:
            found.append("\n".join(lines))
    return found
