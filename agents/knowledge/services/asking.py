"""A question put to the knowledge, as agents and the page for trying put it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agents.knowledge import vectors
from agents.knowledge.search import Search, search
from agents.llm import embedding
from agents.llm.base import LlmError

logger = logging.getLogger("agents")

VECTOR_DEADLINE_S = 1.5  # a caller waits: without its vector a question is looked up by its words


def ask_knowledge(*, question: str, earlier: Sequence[str] = (), limit: int = 3) -> Search:
    """Return the passages that answer a question; none when nothing does. Must run inside a tenant."""
    vector = None
    if embedding.is_possible() and vectors.is_possible():
        try:
            vector = embedding.embed_now([question], is_question=True, deadline_s=VECTOR_DEADLINE_S)[0]
        except LlmError as error:
            logger.warning("A question was looked up by its words alone.", extra={"code": error.code.value})
    return search(question, earlier=earlier, limit=limit, vector=vector)
