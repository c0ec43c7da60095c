"""A server that speaks the Model Context Protocol (Streamable HTTP): two tools, sessions, faults, and others' habits."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOOLS: list[Any] = [
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
    """`style` is how it answers: "json", "events", or "open": events in a stream that stays open behind the answer.

    `order` faults by name, used up in order.
    """

    token: str = "mcp-token"
    style: str = "json"
    version: str = ""  # the one it insists on, in its answer and in the header after that; empty: the one it is asked for
    has_sessions: bool = True
    unknown_session: int | str = 404  # what it says to a session it does not know: a status, or an error's message
    tools: list[Any] = field(default_factory=lambda: list(TOOLS))
    page_size: int = 2
    pages_end: bool = True  # False: each page leads to another
    faults: deque[str] = field(default_factory=deque)
    sessions: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)  # as the header named them, request by request

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/mcp", self.take)]

    async def take(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        message = await request.json()
        method, params = message["method"], message.get("params", {})
        self.asked.append((method, params))
        self.versions.append(request.headers.get("MCP-Protocol-Version", ""))
        if method == "initialize":
            return await self._answer(request, message, {"result": self._begin(params)}, self._new_session())
        if self.has_sessions and request.headers.get("Mcp-Session-Id") not in self.sessions:
            if isinstance(self.unknown_session, int):
                return web.Response(status=self.unknown_session)
            return await self._answer(request, message, {"error": {"code": -32000, "message": self.unknown_session}})
        if self.version and self.versions[-1] != self.version:
            return web.Response(status=400)
        if "id" not in message:
            return web.Response(status=202)
        fault = self.faults.popleft() if self.faults else ""
        if fault == "garbage":
            return web.Response(text="<html>")
        if fault == "redirect":
            return web.Response(status=307, headers={"Location": "/mcp/"})
        if fault.startswith("raw:"):
            return web.Response(text=fault[4:], content_type="application/json")
        if fault == "error":
            return await self._answer(request, message, {"error": {"code": -32000, "message": "Ordered."}})
        return await self._answer(request, message, self._result(method, params, fault))

    def _new_session(self) -> str:
        session = uuid.uuid4().hex if self.has_sessions else ""
        self.sessions.add(session)
        return session

    def _begin(self, params: dict[str, Any]) -> dict[str, Any]:
        server = {"name": "sandbox", "version": "1"}
        version = self.version or params["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}

    def _result(self, method: str, params: dict[str, Any], fault: str) -> dict[str, Any]:
        if method == "tools/list":
            begin = int(params.get("cursor") or 0)
            end = begin + self.page_size
            more = {"nextCursor": str(end)} if end < len(self.tools) or not self.pages_end else {}
            return {"result": {"tools": self.tools[begin:end], **more}}
        known = {tool.get("name") for tool in self.tools if isinstance(tool, dict)}
        if params["name"] not in known:
            return {"error": {"code": -32602, "message": f"Unknown tool {params['name']}."}}
        text = "Closed." if params["name"] == "close_shop" else f"Three of {params['arguments'].get('article')}."
        content = [{"type": "text", "text": text}, {"type": "image", "data": "…"}]
        return {"result": {"content": content, "isError": fault == "tool-error"}}

    async def _answer(
        self, request: web.Request, message: dict[str, Any], body: dict[str, Any], session: str = ""
    ) -> web.StreamResponse:
        headers = {"Mcp-Session-Id": session} if session else {}
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], **body})
        if self.style == "json":
            return web.Response(text=answer, content_type="application/json", headers=headers)
        notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
        text = f": hello\n\nevent: message\ndata: {notice}\n\nevent: message\nid: 1\ndata: {answer}\n\n"
        if self.style == "events":
            return web.Response(text=text, content_type="text/event-stream", headers=headers)
        response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        for half in (text[:90], text[90:]):
            await response.write(half.encode())
        for _ in range(300):  # until the client has what it wants
            if request.transport is None or request.transport.is_closing():
                break
            await asyncio.sleep(0.1)
        return response
