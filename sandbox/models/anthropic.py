"""`POST /v1/messages` by API version 2026-10-21: Bearer keys, no sampling parameters, results of tools before any text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from sandbox.models.account import Asked, Fault, Kind, ModelAccount, Said, arguments_of, pause, tokens_of, words_of

VERSION = "2026-10-21"
_NO_MORE = ("temperature", "top_p", "top_k")
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(status: int, message: str, **headers: str) -> web.Response:
    body = {"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": message}, "request_id": "req_1"}
    return web.json_response(body, status=status, headers=headers)


class AnthropicApi:
    def __init__(self, account: ModelAccount) -> None:
        self.account = account

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/messages", self.create)]

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if refusal := self._refuse(request, body):
            return refusal
        fault = self.account.take_fault()
        if fault is not None and fault.kind is Kind.STATUS:
            headers = {"Retry-After": str(fault.after_s)} if fault.after_s is not None else {}
            return error(fault.status, "ordered", **headers)
        if fault is not None and fault.kind is Kind.HANG:
            await asyncio.sleep(3600)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, event in enumerate(self._events(understood(body))):
            await pause(fault)
            if fault is not None and number == 3 and fault.kind in (Kind.DROP, Kind.CUT, Kind.ERROR):
                return await _break(request, response, fault)
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response

    def _refuse(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.account.api_key}":
            return error(401, "invalid bearer token")
        if request.headers.get("anthropic-version") != VERSION:
            return error(400, "anthropic-version: unsupported")
        if body.get("model") not in self.account.models:
            return error(404, "model: not found")
        if gone := [name for name in _NO_MORE if name in body]:
            return error(400, f"{gone[0]}: Extra inputs are not permitted")
        if not isinstance(body.get("max_tokens"), int):
            return error(400, "max_tokens: Field required")
        if fault := misplaced(body.get("messages", [])):
            return error(400, fault)
        return None

    def _events(self, asked: Asked) -> Iterator[dict[str, Any]]:
        thought = self.account.think(asked)
        spent = tokens_of(asked.system, *(one.text for one in asked.said))
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked.model, "content": []}
        empty = {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": spent, "output_tokens": 1}}
        yield {"type": "message_start", "message": {**message, **empty}}
        yield {"type": "ping"}
        if thought.tool is not None:
            number = sum(one.role == "tool" for one in asked.said) + 1
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": thought.tool.name, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *arguments_of(thought.tool)]]
        else:
            block = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in words_of(thought.text)]
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        reason = "tool_use" if thought.tool is not None else "end_turn"
        usage = {"output_tokens": tokens_of(thought.text or "{}")}
        yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
        yield {"type": "message_stop"}


async def _break(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.kind is Kind.DROP and request.transport is not None:
        request.transport.abort()
    if fault.kind is Kind.ERROR:
        body = {"type": "error", "error": {"type": fault.code or "overloaded_error", "message": "ordered"}}
        await response.write(f"event: error\ndata: {json.dumps(body)}\n\n".encode())
    return response


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def understood(body: dict[str, Any]) -> Asked:
    said, names = [], {}
    for message in body["messages"]:
        for block in _blocks(message):
            if block["type"] == "tool_use":
                names[block["id"]] = block["name"]
            elif block["type"] == "tool_result":
                said.append(Said("tool", str(block["content"]), names.get(block["tool_use_id"], "")))
            else:
                said.append(Said(message["role"], block["text"]))
    tools = tuple(tool["name"] for tool in body.get("tools") or [])
    return Asked(body["model"], body.get("system", ""), tuple(said), tools, body)


def misplaced(messages: list[dict[str, Any]]) -> str:
    """Return what is wrong with the order of a conversation's roles and blocks."""
    expected: set[str] = set()
    for number, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[number % 2]:
            return "messages: roles must alternate, the user begins"
        kinds = [block["type"] for block in _blocks(message)]
        results = {block["tool_use_id"] for block in _blocks(message) if block["type"] == "tool_result"}
        if expected - results or kinds != sorted(kinds, key=lambda kind: kind != "tool_result"):
            return "messages: every tool_use needs its tool_result, at the beginning of the next message"
        expected = {block["id"] for block in _blocks(message) if block["type"] == "tool_use"}
    return "messages: a tool_use has no tool_result" if expected else ""
