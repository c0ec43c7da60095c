"""A server that speaks the Model Context Protocol (Streamable HTTP, 2025-06-18): two tools, sessions, faults."""

from __future__ import annotations

import json
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOOLS = [
    {
        "name": "stock",
        "description": "How many of an article there are.",
        "inputSchema": {"type": "object", "properties": {"article": {"type": "string"}}, "required": ["article"]},
    },
    {"name": "broken-schema", "description": "Described wrongly.", "inputSchema": {"type": "array"}},
    {"name": "close_shop", "description": "Close the shop for today.", "inputSchema": {"type": "object"}},
]


@dataclass(slots=True)
class McpStandIn:
    """`style` is how it answers: "json" or "events"; `order` faults by name, used up in order."""

    token: str = "mcp-token"
    style: str = "json"
    faults: deque[str] = field(default_factory=deque)
    sessions: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/mcp", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        message = await request.json()
        method, params = message["method"], message.get("params", {})
        self.asked.append((method, params))
        if method == "initialize":
            session = uuid.uuid4().hex
            self.sessions.add(session)
            server = {"name": "sandbox", "version": "1"}
            result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
            return self._answer(message, {"result": result}, session)
        if request.headers.get("Mcp-Session-Id") not in self.sessions:
            return web.Response(status=404)
        if "id" not in message:
            return web.Response(status=202)
        fault = self.faults.popleft() if self.faults else ""
        if fault == "garbage":
            return web.Response(text="<html>")
        if fault == "error":
            return self._answer(message, {"error": {"code": -32000, "message": "Ordered."}})
        return self._answer(message, self._result(method, params, fault))

    def _result(self, method: str, params: dict[str, Any], fault: str) -> dict[str, Any]:
        if method == "tools/list":
            if not params.get("cursor"):
                return {"result": {"tools": TOOLS[:2], "nextCursor": "2"}}
            return {"result": {"tools": TOOLS[2:]}}
        text = f"Three of {params['arguments'].get('article')}." if params["name"] == "stock" else "Closed."
        content = [{"type": "text", "text": text}, {"type": "image", "data": "…"}]
        return {"result": {"content": content, "isError": fault == "tool-error"}}

    def _answer(self, message: dict[str, Any], body: dict[str, Any], session: str = "") -> web.Response:
        headers = {"Mcp-Session-Id": session} if session else {}
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], **body})
        if self.style == "json":
            return web.Response(text=answer, content_type="application/json", headers=headers)
        notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
        text = f"event: message\ndata: {notice}\n\nevent: message\nid: 1\ndata: {answer}\n\n"
        return web.Response(text=text, content_type="text/event-stream", headers=headers)
