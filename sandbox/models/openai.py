"""`POST /v1/chat/completions`, `POST /v1/embeddings` and `GET /v1/models`, as OpenAI and Ollama answer them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from typing import Any

from aiohttp import web

from sandbox.models.account import Asked, Fault, Kind, ModelAccount, Said, arguments_of, pause, tokens_of, words_of

DIMENSIONS = 256
_WORD = re.compile(r"\w+")


def error(status: int, message: str, code: str = "", **headers: str) -> web.Response:
    body = {"error": {"message": message, "type": "sandbox_error", "param": None, "code": code or None}}
    return web.json_response(body, status=status, headers=headers)


class OpenAiApi:
    def __init__(self, account: ModelAccount) -> None:
        self.account = account

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self.complete),
            web.post("/v1/embeddings", self.embed),
            web.get("/v1/models", self.models, allow_head=False),
            web.get("/v1/organization/usage/completions", self.usage, allow_head=False),
        ]

    async def models(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.account.api_key}":
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        return web.json_response({"object": "list", "data": [{"id": name} for name in sorted(self.account.models)]})

    async def usage(self, request: web.Request) -> web.Response:
        """What was counted, one bucket for all of it. The vendor wants an administrator's key here: any will do."""
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        names = sorted({model for model, _ in self.account.counted})
        rows = [
            {
                "object": "organization.usage.completions.result",
                "model": name,
                "input_tokens": self.account.counted[(name, "input")],
                "output_tokens": self.account.counted[(name, "output")],
            }
            for name in names
        ]
        begin, end = request.query.get("start_time"), request.query.get("end_time")
        bucket = {"object": "bucket", "start_time": begin, "end_time": end, "results": rows}
        return web.json_response({"object": "page", "data": [bucket], "has_more": False, "next_page": None})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if refusal := self._refuse(request, body):
            return refusal
        fault = self.account.take_fault()
        if fault is not None and fault.kind is Kind.STATUS:
            headers = {"Retry-After": str(fault.after_s)} if fault.after_s is not None else {}
            return error(fault.status, "ordered", fault.code, **headers)
        if fault is not None and fault.kind is Kind.HANG:
            await asyncio.sleep(3600)
        asked = understood(body)
        chunks = self._chunks(asked, body)
        if not body.get("stream"):
            return web.json_response(_whole(chunks))
        return await self._stream(request, chunks, fault)

    def _refuse(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.account.api_key}":
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        if body.get("model") not in self.account.models:
            return error(404, "The model does not exist.", "model_not_found")
        if fault := unanswered(body.get("messages", [])):
            return error(400, fault)
        if tokens_of(json.dumps(body.get("messages", []))) > self.account.context_tokens:
            return error(400, "This is longer than the model's context.", "context_length_exceeded")
        return None

    def _chunks(self, asked: Asked, body: dict[str, Any]) -> list[dict[str, Any]]:
        thought = self.account.think(asked)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if thought.tool is not None:
            number = sum(one.role == "tool" for one in asked.said) + 1
            first: dict[str, Any] = {"index": 0, "id": f"call_{number}", "type": "function"}
            deltas.append({"tool_calls": [{**first, "function": {"name": thought.tool.name, "arguments": ""}}]})
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in arguments_of(thought.tool)
            ]
        else:
            deltas += [{"content": piece} for piece in words_of(thought.text)]
        reason = "tool_calls" if thought.tool is not None else "stop"
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if (body.get("stream_options") or {}).get("include_usage") or not body.get("stream"):
            spoken = tokens_of(asked.system, *(one.text for one in asked.said)), tokens_of(thought.text or "{}")
            usage = {"prompt_tokens": spoken[0], "completion_tokens": spoken[1], "total_tokens": sum(spoken)}
            self.account.counted[(asked.model, "input")] += spoken[0]
            self.account.counted[(asked.model, "output")] += spoken[1]
            chunks.append({"choices": [], "usage": usage})
        return [
            {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": asked.model, **c} for c in chunks
        ]

    async def _stream(self, request: web.Request, chunks: list[dict[str, Any]], fault: Fault | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, chunk in enumerate(chunks):
            await pause(fault)
            if fault is not None and number == 2 and fault.kind in (Kind.DROP, Kind.CUT, Kind.ERROR):
                return await _break(request, response, fault)
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.headers.get("Authorization") != f"Bearer {self.account.api_key}":
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [{"object": "embedding", "index": at, "embedding": vector_of(text)} for at, text in enumerate(texts)]
        total = tokens_of(*texts)
        usage = {"prompt_tokens": total, "total_tokens": total}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})


async def _break(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.kind is Kind.DROP and request.transport is not None:
        request.transport.abort()
    if fault.kind is Kind.ERROR:
        body = {"error": {"message": "ordered", "type": "server_error", "code": fault.code or None}}
        await response.write(f"data: {json.dumps(body)}\n\n".encode())
    return response


def understood(body: dict[str, Any]) -> Asked:
    system, said, names = "", [], {}
    for message in body["messages"]:
        if message["role"] in ("system", "developer"):
            system = message["content"]
            continue
        for call in message.get("tool_calls") or []:
            names[call["id"]] = call["function"]["name"]
        said.append(Said(message["role"], message.get("content") or "", names.get(message.get("tool_call_id", ""), "")))
    tools = tuple(tool["function"]["name"] for tool in body.get("tools") or [])
    return Asked(body["model"], system, tuple(said), tools, body)


def unanswered(messages: list[dict[str, Any]]) -> str:
    """Return what is wrong with a conversation: a call of a tool that nobody answered at once."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return "An assistant message with 'tool_calls' must be followed by tool messages."
        open_calls = {call["id"] for call in message.get("tool_calls") or []}
    return "An assistant message with 'tool_calls' must be followed by tool messages." if open_calls else ""


def _whole(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    text = "".join(delta.get("content") or "" for delta in deltas)
    pieces = [call for delta in deltas for call in delta.get("tool_calls", [])]
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if pieces:
        arguments = "".join(piece["function"].get("arguments", "") for piece in pieces)
        message["tool_calls"] = [{**pieces[0], "function": {"name": pieces[0]["function"]["name"], "arguments": arguments}}]
    reason = "tool_calls" if pieces else "stop"
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": chunks[0]["model"]}
    return {**head, "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": chunks[-1]["usage"]}


def vector_of(text: str) -> list[float]:
    """Return a vector in which texts with common words lie near each other: enough to tell that vectors are used."""
    vector = [0.0] * DIMENSIONS
    for word in _WORD.findall(text.casefold()):
        vector[int.from_bytes(hashlib.sha256(word[:5].encode()).digest()[:2]) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
