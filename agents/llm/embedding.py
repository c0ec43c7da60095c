"""Texts as vectors: by any server that speaks OpenAI's embeddings, where one is named; else by a model on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from django.conf import settings

from agents.llm import local
from agents.llm.base import ErrorCode, LlmError, Usage
from agents.llm.closing import close_clients
from agents.llm.metering import meter, written_at_the_end
from agents.llm.openai import openai_client, translated
from agents.llm.registry import is_configured

MAX_CHARACTERS = 8_000  # of a text: what every model takes
BATCH_DEADLINE_S = 60.0
LEAST_SIMILARITY = 0.45
NONE = "none"  # of EMBEDDINGS_MODEL: nothing is found by meaning


def model_in_use() -> str:
    """Return the model that makes vectors; empty when none does. Vectors are kept with this name, and never mixed."""
    named = settings.ENV.embeddings_model
    if named == NONE:
        return ""
    if named:
        return named if is_configured("openai") else ""
    return local.NAME if local.is_installed() else ""


def is_possible() -> bool:
    return bool(model_in_use())


def is_local() -> bool:
    return model_in_use() == local.NAME


def shown_name() -> str:
    """Return the model in use as pages name it; empty without any."""
    return f"{local.TITLE}, on this machine" if is_local() else model_in_use()


def least_similarity() -> float:
    """Return the cosine from which a passage answers a question that shares hardly a word with it."""
    return local.LEAST_SIMILARITY if is_local() else LEAST_SIMILARITY


def batch_size() -> int:
    """Return how many texts are well asked for at once."""
    return local.BATCH if is_local() else 64


async def embed(texts: Sequence[str], *, is_question: bool = False, deadline_s: float = 30.0) -> list[list[float]]:
    """Return a vector for each text, in one request. Raises LlmError.

    The model on this machine makes other vectors of questions than of what may answer them.
    """
    if not is_possible():
        raise LlmError(ErrorCode.NOT_CONFIGURED)
    if is_local():
        return await asyncio.to_thread(local.embed, texts, is_question=is_question, deadline_s=deadline_s)
    env = settings.ENV
    client = await openai_client(env.openai_api_key or "unused", env.openai_base_url or None)
    import openai

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


def embed_now(texts: Sequence[str], *, is_question: bool = False, deadline_s: float = 30.0) -> list[list[float]]:
    """`embed` for synchronous code. Raises LlmError."""
    if is_local():
        return local.embed(texts, is_question=is_question, deadline_s=deadline_s)

    async def run() -> list[list[float]]:
        try:
            return await embed(texts, deadline_s=deadline_s)
        finally:
            await close_clients()

    with written_at_the_end():
        return asyncio.run(run())
