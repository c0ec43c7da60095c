"""Anthropic's Messages, API version 2026-10-21: no temperature any more, tools in blocks, results in user messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from agents.llm.base import ErrorCode, Finished, LlmError, ModelEvent, ModelRequest, TextDelta, ToolCall, Turn, Usage
from agents.llm.closing import keep_client
from agents.llm.openai import retry_after
from base.jsontext import JSONTextError, decode

_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tools", "max_tokens": "length", "refusal": "refusal"}


class AnthropicModel:
    provider = "anthropic"

    def __init__(self, *, api_key: str, base_url: str) -> None:
        self._api_key = api_key or "unused"
        self._base_url = base_url or None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask once; see LanguageModel. The temperature is left out: the API takes none."""
        client = await keep_client(("anthropic", self._api_key, self._base_url), self._make_client)
        import anthropic
        import httpx2

        try:
            raw = await client.with_options(timeout=request.deadline_s).messages.create(**_body(request))
            try:
                async for event in _events(raw):
                    yield event
            finally:
                await raw.close()
        except anthropic.AnthropicError as error:  # its text may quote the prompt
            raise _translated(error) from None
        except httpx2.HTTPError:  # the connection broke within the answer: the SDK lets that through
            raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True) from None

    def _make_client(self) -> Any:
        import anthropic

        return anthropic.AsyncAnthropic(api_key=self._api_key, base_url=self._base_url, max_retries=0)


def _body(request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "messages": _messages(request.turns),
        "stream": True,
    }
    if request.system:
        body["system"] = request.system
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in request.tools
        ]
    return body


def _messages(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    """Render turns as blocks; neighbours of one role become one message, results of tools before any text."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = _blocks(turn)
        if not blocks:
            continue  # an answer in which nothing was said
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    for message in messages:
        message["content"].sort(key=lambda block: block["type"] != "tool_result")
    return messages


def _blocks(turn: Turn) -> list[dict[str, Any]]:
    if turn.role == "tool":
        answer = {"type": "tool_result", "tool_use_id": turn.tool_call_id, "content": turn.text, "is_error": turn.is_error}
        return [answer]
    text = [{"type": "text", "text": turn.text}] if turn.text.strip() else []
    return [
        *text,
        *({"type": "tool_use", "id": c.id, "name": c.name, "input": _object(c.arguments)} for c in turn.tool_calls),
    ]


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = decode(arguments or "{}")
    except JSONTextError:
        return {}
    return value if isinstance(value, dict) else {}


async def _events(raw: Any) -> AsyncGenerator[ModelEvent, None]:
    calls: dict[int, dict[str, str]] = {}
    reason, usage_in, usage_out = "", None, None
    async for event in raw:
        match event.type:
            case "message_start":
                usage_in = event.message.usage.input_tokens
            case "content_block_start" if event.content_block.type == "tool_use":
                calls[event.index] = {"id": event.content_block.id, "name": event.content_block.name, "arguments": ""}
            case "content_block_delta" if event.delta.type == "text_delta":
                yield TextDelta(event.delta.text)
            case "content_block_delta" if event.delta.type == "input_json_delta" and event.index in calls:
                calls[event.index]["arguments"] += event.delta.partial_json
            case "content_block_stop" if event.index in calls:
                yield ToolCall(**calls[event.index])
            case "message_delta":
                reason = event.delta.stop_reason or reason
                usage_out = event.usage.output_tokens  # cumulative
    if not reason:
        raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)
    usage = Usage(usage_in, usage_out) if usage_in is not None and usage_out is not None else None
    yield Finished(_REASONS.get(reason, "other"), usage)  # type: ignore[arg-type]


def _translated(error: Exception) -> LlmError:
    import anthropic

    match error:
        case anthropic.APITimeoutError():
            return LlmError(ErrorCode.TOO_SLOW, retryable=True)
        case anthropic.APIConnectionError():
            return LlmError(ErrorCode.UNREACHABLE, retryable=True)
        case anthropic.AuthenticationError() | anthropic.PermissionDeniedError():
            return LlmError(ErrorCode.REFUSED_KEY)
        case anthropic.NotFoundError():
            return LlmError(ErrorCode.UNKNOWN_MODEL)
        case anthropic.RateLimitError():
            return LlmError(ErrorCode.RATE_LIMITED, retryable=True, retry_after_s=retry_after(error.response.headers))
        case anthropic.APIStatusError(status_code=402):
            return LlmError(ErrorCode.NO_CREDIT)
        case anthropic.APIStatusError(status_code=413):
            return LlmError(ErrorCode.TOO_LONG)
        case anthropic.APIStatusError() if error.status_code >= 500 or error.status_code in (408, 409):
            return LlmError(ErrorCode.OVERLOADED, retryable=True, retry_after_s=retry_after(error.response.headers))
        case anthropic.APIStatusError(status_code=200):  # an `error` event after the headers: overloaded, mostly
            return LlmError(ErrorCode.OVERLOADED, retryable=True)
        case anthropic.APIStatusError():
            return LlmError(ErrorCode.REFUSED_REQUEST)
    return LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)
