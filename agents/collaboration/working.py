"""The specialists' work: who is asked, side by side and apart from each other, and one answer made of theirs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents import selectors
from agents.briefs import Brief
from agents.collaboration.phrases import Answer
from agents.composing import compose
from agents.dialogue import Answer as Said
from agents.dialogue import Conversation, ask_agent
from agents.instructions import values_for
from agents.llm import asking
from agents.llm.base import LlmError, ModelRequest, Turn, Usage
from agents.llm.registry import choose_model, configured_providers
from agents.moderating import COMPLEXITY, CONSENT, JUDGE_DEADLINE_S, choose_agents, decide
from agents.tools import ToolContext, tools_named
from tenants.context import in_tenant
from tenants.models import Tenant

logger = logging.getLogger("agents")

SYNTHESIS_S = 8.0  # of the time for work, kept for making one answer
TOOLS = ("search_knowledge",)  # what a specialist may use while a caller waits
MAX_OUTPUT_TOKENS = 400
SETTING = """You are asked as a specialist during a telephone call. The caller is on the line with a colleague and waits.
Answer the question in at most five sentences, in the language of the conversation, in words that can be said aloud: no
lists, no headings. If it is outside your field or you cannot know, say so in one sentence.

The conversation so far:
{conversation}"""
SYNTHESIS = """Several specialists have answered a caller's question. Make one answer of theirs, at most six sentences, in
the language of the question, in words that can be said aloud. Keep what they agree on, say where they differ, leave out
what does not help this caller, and add nothing of your own."""
CONSENT_SETTING = "Somebody on the telephone was asked whether a specialist may be brought in. Note what their reply means."


@dataclass(frozen=True, slots=True)
class Contribution:
    brief: Brief
    ms: int
    text: str = ""
    problem: str = ""
    usage: Usage | None = None

    def as_json(self) -> dict[str, Any]:
        brief = self.brief
        return {
            "slug": brief.slug,
            "name": brief.name,
            "version": brief.version_number,
            "ms": self.ms,
            "problem": self.problem,
        }


@dataclass(slots=True)
class Work:
    """What came of it. No answer: nobody could help."""

    answer: str = ""
    contributions: list[Contribution] = field(default_factory=list)
    usage: Usage | None = None
    duration_ms: int = 0


class Specialists:
    """Those an organisation may ask in one call. `own_slug` is the agent that is on the line: it is not asked again."""

    def __init__(self, tenant: Tenant, briefs: Sequence[Brief], *, own_slug: str, context: ToolContext) -> None:
        self.tenant = tenant
        self._moderator = selectors.moderator(briefs)
        self.available = [brief for brief in selectors.specialists(briefs) if brief.slug != own_slug]
        self._context = context

    @property
    def can_rate(self) -> bool:
        return self._moderator is not None and bool(configured_providers())

    @property
    def can_work(self) -> bool:
        return bool(self.available) and bool(configured_providers())

    async def rate(self, text: str) -> tuple[float, bool]:
        """Return how hard what the caller said is, and whether they ask for a specialist. Raises LlmError."""
        assert self._moderator is not None
        verdict = await decide(
            moderator=self._moderator,
            instructions=await self._instructions(self._moderator),
            question=text,
            tool=COMPLEXITY,
            deadline_s=JUDGE_DEADLINE_S,
        )
        return float(verdict.values["complexity"]), bool(verdict.values["asks_for_specialist"])

    async def judge(self, text: str) -> Answer:
        """Return what a reply means; unclear when nobody can say."""
        if self._moderator is None:
            return "unclear"
        try:
            verdict = await decide(
                moderator=self._moderator,
                instructions=CONSENT_SETTING,
                question=text,
                tool=CONSENT,
                deadline_s=JUDGE_DEADLINE_S,
            )
        except LlmError:
            return "unclear"
        return verdict.values["answer"]  # type: ignore[no-any-return]

    async def work(self, question: str, said: Sequence[tuple[str, str]], *, most: int, limit_s: float) -> Work:
        """Have one to `most` specialists answer, side by side, and return one answer within `limit_s`."""
        began = time.monotonic()
        work = Work()
        spent: list[Usage | None] = []
        try:
            async with asyncio.timeout(limit_s):
                chosen, usage = await self._choose(question, most)
                spent.append(usage)
                left_s = limit_s - (time.monotonic() - began) - (SYNTHESIS_S if len(chosen) > 1 else 1.0)
                tasks = [self._ask(brief, question, said, max(left_s, 2.0)) for brief in chosen]
                work.contributions = list(await asyncio.gather(*tasks))
                helpful = [one for one in work.contributions if one.text]
                spent += [one.usage for one in work.contributions if one.text]
                work.answer = await self._synthesis(question, helpful, spent)
        except TimeoutError:
            logger.warning("Specialists were too slow.")
        work.usage = _sum(spent)
        work.duration_ms = round((time.monotonic() - began) * 1000)
        return work

    async def _choose(self, question: str, most: int) -> tuple[list[Brief], Usage | None]:
        if self._moderator is None:
            return self.available[:1], None
        chosen, usage = await choose_agents(
            moderator=self._moderator,
            agents=self.available,
            request=question,
            instructions=await self._instructions(self._moderator),
            most=most,
        )
        return chosen, usage

    async def _ask(self, brief: Brief, question: str, said: Sequence[tuple[str, str]], limit_s: float) -> Contribution:
        """Ask one of them, in a conversation of its own: none knows of the others."""
        began = time.monotonic()

        def ms() -> int:
            return round((time.monotonic() - began) * 1000)

        conversation = "\n".join(f"{role}: {text}" for role, text in said[-20:])
        setting = SETTING.replace("{conversation}", conversation)
        try:
            instructions = await self._instructions(brief, setting)
            tools = tools_named(brief.allowed(TOOLS))
            thread = Conversation(
                brief,
                instructions,
                tools=tools,
                context=self._context,
                deadline_s=limit_s,
                max_output_tokens=MAX_OUTPUT_TOKENS,
            )
            answer: Said = await ask_agent(thread, question)
        except LlmError as error:
            return Contribution(brief, ms(), problem=error.code.value)
        except Exception:  # one specialist's fault is nobody else's
            logger.exception("A specialist failed.")
            return Contribution(brief, ms(), problem="failed")
        return Contribution(brief, ms(), answer.text, "" if answer.text else "said nothing", answer.usage)

    async def _synthesis(self, question: str, helpful: Sequence[Contribution], spent: list[Usage | None]) -> str:
        if len(helpful) < 2 or self._moderator is None:
            return helpful[0].text if helpful else ""
        answers = "\n\n".join(f"{one.brief.name}: {one.text}" for one in helpful)
        provider, model = choose_model(self._moderator.provider, self._moderator.model)
        request = ModelRequest(
            model=model,
            system=SYNTHESIS,
            turns=(Turn("user", f"The question: {question}\n\n{answers}"),),
            temperature=self._moderator.temperature,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            deadline_s=SYNTHESIS_S,
        )
        try:
            completion = await asking.complete(provider, request)
        except LlmError:
            return helpful[0].text  # the best one's word rather than none
        spent.append(completion.usage)
        return completion.text.strip() or helpful[0].text

    async def _instructions(self, brief: Brief, *after: str) -> str:
        values = await in_tenant(self.tenant, values_for, self.tenant, brief)
        # What is added holds what people said: nothing in it is a name to be filled in.
        return "\n\n".join([compose([brief.prompt], values).text, *after])


def _sum(spent: Sequence[Usage | None]) -> Usage | None:
    known = [usage for usage in spent if usage is not None]
    if not known or len(known) < len(spent):
        return None
    return Usage(sum(one.input_tokens for one in known), sum(one.output_tokens for one in known))
