"""OpenAI's chat completions, and every server that speaks them (Ollama, vLLM, …)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from agents.llm.base import ErrorCode, Finished, LlmError, ModelEvent, ModelRequest, TextDelta, ToolCall, Turn, Usage
from agents.llm.closing import keep_client

_REASONS = {"stop": "stop", "tool_calls": "tools", "length": "length", "content_filter": "refusal"}
# Models that think before they answer take no temperature but their own.
_WITHOUT_TEMPERATURE = ("o1", "o3", "o4", "gpt-5")


async def openai_client(api_key: str, base_url: str | None) -> Any:
    """Return the running loop's `openai.AsyncOpenAI` for a key; after that, `import openai` costs nothing."""

    def make() -> Any:
        import openai  # 0.8 s: only where models are asked

        return openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0)

    return await keep_client(("openai", api_key, base_url), make)


class OpenAiModel:
    provider = "openai"

    def __init__(self, *, api_key: str, base_url: str) -> None:
        self._api_key = api_key or "unused"  # local servers ask for none, the client insists on one
        self._base_url = base_url or None
        # Its own name for the limit is the vendor's newest; servers that speak the protocol know the older one.
        self._limit_name = "max_tokens" if base_url else "max_completion_tokens"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask once; see LanguageModel."""
        client = await openai_client(self._api_key, self._base_url)
        import httpx2
        import openai

        try:
            chunks = await client.with_options(timeout=request.deadline_s).chat.completions.create(**self._body(request))
            try:
                async for event in _events(chunks):
                    yield event
            finally:
                await chunks.close()
        except openai.OpenAIError as error:  # its text may quote the prompt
            raise translated(error) from None
        except httpx2.HTTPError:  # the connection broke within the answer: the SDK lets that through
            raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True) from None

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": _messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit_name: request.max_output_tokens,
        }
        if request.temperature is not None and not request.model.startswith(_WITHOUT_TEMPERATURE):
            body["temperature"] = request.temperature
        if request.tools:
            body["tools"] = [
                {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
                for t in request.tools
            ]
        return body


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, *(_message(turn) for turn in request.turns)]


def _message(turn: Turn) -> dict[str, Any]:
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.tool_call_id, "content": turn.text}
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in turn.tool_calls
        ]
    return message


async def _events(chunks: Any) -> AsyncGenerator[ModelEvent, None]:
    calls: list[dict[str, str]] = []
    at: dict[int | None, dict[str, str]] = {}  # by index: id and name come first, arguments in pieces
    reason, usage = "", None
    async for chunk in chunks:
        if chunk.usage is not None:
            usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices[:1]:  # the chunk with the usage has none
            for piece in choice.delta.tool_calls or []:
                call = at.get(piece.index)
                if call is None or (piece.id and call["id"] and piece.id != call["id"]):  # some number all calls alike
                    call = at[piece.index] = {"id": "", "name": "", "arguments": ""}
                    calls.append(call)
                call["id"] = piece.id or call["id"]
                if piece.function is not None:
                    call["name"] = piece.function.name or call["name"]
                    call["arguments"] += _as_json(piece.function.arguments)
            if text := choice.delta.content or getattr(choice.delta, "refusal", None):
                yield TextDelta(text)
            reason = choice.finish_reason or reason
    if not reason:
        raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)
    for call in calls:
        yield ToolCall(call["id"], call["name"], call["arguments"])
    # Some servers say "stop" although they called tools.
    yield Finished("tools" if calls else _REASONS.get(reason, "other"), usage)  # type: ignore[arg-type]


def _as_json(arguments: Any) -> str:
    """Return a piece of arguments as text; some servers send the object itself."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments)


def translated(error: Exception) -> LlmError:
    """Return one of the SDK's errors as ours."""
    import openai

    match error:
        case openai.APITimeoutError():
            return LlmError(ErrorCode.TOO_SLOW, retryable=True)
        case openai.APIConnectionError():
            return LlmError(ErrorCode.UNREACHABLE, retryable=True)
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return LlmError(ErrorCode.REFUSED_KEY)
        case openai.NotFoundError():
            return LlmError(ErrorCode.UNKNOWN_MODEL)
        case openai.RateLimitError(code="insufficient_quota"):
            return LlmError(ErrorCode.NO_CREDIT)
        case openai.RateLimitError():
            return LlmError(ErrorCode.RATE_LIMITED, retryable=True, retry_after_s=retry_after(error.response.headers))
        case openai.BadRequestError(code="context_length_exceeded"):
            return LlmError(ErrorCode.TOO_LONG)
        case openai.APIStatusError() if error.status_code >= 500 or error.status_code in (408, 409):
            return LlmError(ErrorCode.OVERLOADED, retryable=True, retry_after_s=retry_after(error.response.headers))
        case openai.APIStatusError():
            return LlmError(ErrorCode.REFUSED_REQUEST)
    return LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)  # an error within the stream


def retry_after(headers: Any) -> float | None:
    """Return the seconds a provider asks to wait; None when it says nothing that can be read."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
