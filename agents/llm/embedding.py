"""Texts as vectors, by any server that speaks OpenAI's embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from django.conf import settings

from agents.llm.base import ErrorCode, LlmError, Usage
from agents.llm.closing import close_clients, keep_client
from agents.llm.metering import meter, written_at_the_end
from agents.llm.openai import translated
from agents.llm.registry import is_configured

BATCH = 64  # texts a request
MAX_CHARACTERS = 8_000  # of a text: what every model takes


def is_possible() -> bool:
    """Tell whether a model for vectors is named and somebody answers for it."""
    return bool(settings.ENV.embeddings_model) and is_configured("openai")


async def embed(texts: Sequence[str], *, deadline_s: float = 30.0) -> list[list[float]]:
    """Return a vector for each text, in one request. Raises LlmError."""
    import openai

    if not is_possible():
        raise LlmError(ErrorCode.NOT_CONFIGURED)
    env = settings.ENV
    client = keep_client(
        ("openai", env.openai_api_key or "unused", env.openai_base_url or None),
        lambda: openai.AsyncOpenAI(
            api_key=env.openai_api_key or "unused", base_url=env.openai_base_url or None, max_retries=0
        ),
    )
    try:
        async with asyncio.timeout(deadline_s):
            answer = await client.with_options(timeout=deadline_s).embeddings.create(
                model=env.embeddings_model, input=[text[:MAX_CHARACTERS] for text in texts], encoding_format="float"
            )
    except TimeoutError:
        raise LlmError(ErrorCode.TOO_SLOW, retryable=True) from None
    except openai.OpenAIError as error:
        raise translated(error) from None
    usage = getattr(answer, "usage", None)
    await meter("openai", env.embeddings_model, Usage(usage.prompt_tokens, 0) if usage else None)
    found = [list(entry.embedding) for entry in sorted(answer.data, key=lambda entry: entry.index)]
    if len(found) != len(texts) or not all(found):
        raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)
    return found


def embed_now(texts: Sequence[str], *, deadline_s: float = 30.0) -> list[list[float]]:
    """`embed` for synchronous code. Raises LlmError."""

    async def run() -> list[list[float]]:
        try:
            return await embed(texts, deadline_s=deadline_s)
        finally:
            await close_clients()

    with written_at_the_end():
        return asyncio.run(run())
