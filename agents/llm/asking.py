"""Asking a model: breaker, deadline and retries around the adapters, and the one way in for the rest of the product."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agents.llm.base import (
    Collected,
    Completion,
    ErrorCode,
    Finished,
    LanguageModel,
    LlmError,
    ModelEvent,
    ModelRequest,
    TextDelta,
    ToolCall,
)
from agents.llm.breaker import Breaker
from agents.llm.closing import close_clients
from agents.llm.metering import meter, written_at_the_end
from agents.llm.registry import breaker_of, make_model
from base.text import to_valid
from thanos.redis import close_async_client

TRIES = 3
PAUSE_S = 0.4  # before the second try; doubled before the third, and never the same twice
LONGEST_PAUSE_S = 5.0


async def stream(
    provider: str,
    request: ModelRequest,
    *,
    model: LanguageModel | None = None,
    breaker: Breaker | None = None,
    sleep: Callable[[float], Any] = asyncio.sleep,
) -> AsyncGenerator[ModelEvent, None]:
    """Ask a provider's model and yield what it answers.

    Tried again only while nothing has been yielded, for what may pass: an unreachable or overloaded provider, a rate
    limit, a broken answer. The deadline holds for all tries together. Raises LlmError.
    """
    model = model or make_model(provider)
    breaker = breaker or breaker_of(provider)
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + request.deadline_s
    for attempt in range(1, TRIES + 1):
        if not await breaker.admits():
            raise LlmError(ErrorCode.RESTING, retryable=True)
        has_begun = False
        try:
            async with aclosing(valid(_until(ends_at, model.stream(request)))) as events:
                async for event in events:
                    has_begun = True
                    if isinstance(event, Finished):
                        await meter(provider, request.model, event.usage)
                    yield event
        except LlmError as error:
            await breaker.failed(error.code, mark=uuid.uuid4().hex)
            pause = _pause_s(error, attempt)
            if has_begun or pause is None or loop.time() + pause >= ends_at:
                raise
            await sleep(pause)
            continue
        await breaker.succeeded()
        return


async def complete(provider: str, request: ModelRequest, **how: Any) -> Completion:
    """Ask and return the whole answer. Raises LlmError."""
    collected = Collected()
    async with aclosing(stream(provider, request, **how)) as events:
        async for event in events:
            collected.add(event)
    return collected.completion()


def complete_now(provider: str, request: ModelRequest) -> Completion:
    """`complete` for synchronous code, such as a task: on a loop of its own, of which nothing is left. Raises LlmError."""

    async def run() -> Completion:
        try:
            return await complete(provider, request)
        finally:
            await close_clients()
            await close_async_client()

    with written_at_the_end():
        return asyncio.run(run())


async def _until(ends_at: float, events: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[ModelEvent, None]:
    """Pass events on; what waits for the next one beyond the deadline ends as TOO_SLOW."""
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout_at(ends_at):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise LlmError(ErrorCode.TOO_SLOW, retryable=True) from None
            yield event


async def valid(events: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[ModelEvent, None]:
    """Pass a model's events on with all text valid and each tool call under an id of its own.

    The halves of a surrogate pair may come in two pieces: the first waits for the second.
    """
    held = ""
    ids: set[str] = set()
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                text, held = held + event.text, ""
                if text and "\ud800" <= text[-1] <= "\udbff":
                    text, held = text[:-1], text[-1]
                if text := to_valid(text):
                    yield TextDelta(text)
                continue
            if held:
                yield TextDelta(to_valid(held))
                held = ""
            if isinstance(event, ToolCall):
                call = ToolCall(to_valid(event.id), to_valid(event.name), to_valid(event.arguments))
                if not call.id or call.id in ids:
                    call = replace(call, id=f"call_{uuid.uuid4().hex[:24]}")
                ids.add(call.id)
                yield call
            else:
                yield event


def _pause_s(error: LlmError, attempt: int) -> float | None:
    """Return how long to wait before the next try, None when there is to be none."""
    if not error.retryable or attempt >= TRIES:
        return None
    wanted = error.retry_after_s if error.retry_after_s is not None else PAUSE_S * 2 ** (attempt - 1)
    return None if wanted > LONGEST_PAUSE_S else wanted * (1 + random.random() / 4)
