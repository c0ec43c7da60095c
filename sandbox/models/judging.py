"""What the stand-in model answers where an answer is to be data, or is to be made of other texts: a few plain rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.deepgram.brain import COMMON, Thought, ToolUse, looked_up, words

if TYPE_CHECKING:
    from sandbox.models.account import Asked

HARD = frozenset(
    [
        "tax",
        "taxes",
        "legal",
        "law",
        "contract",
        "liability",
        "insurance",
        "warranty",
        "pension",
        "visa",
        "audit",
        "lawsuit",
    ]
)
EXPERTS = frozenset({"expert", "experts", "specialist", "specialists"})
SPECIALIST = "as a specialist during a telephone call"
DEPENDS = "That depends on the details: somebody of ours should look at your case together with you."
YES = frozenset({"yes", "yeah", "sure", "okay", "fine", "absolutely", "please"})
NO = frozenset({"no", "not", "never", "nope"})
_AGENT = re.compile(r"^- ([a-z0-9-]+): (.*)$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def judge(asked: Asked) -> Thought | None:
    """Return the answer to a question of the moderator's kind, None for any other."""
    text = asked.said[-1].text if asked.said else ""
    if asked.tools == ("rate_request",):
        heard = words(text)
        rated = {"complexity": 0.9 if heard & HARD else 0.1, "asks_for_specialist": bool(heard & EXPERTS)}
        return Thought(tool=ToolUse("rate_request", rated))
    if asked.tools == ("choose_agents",):
        return Thought(tool=ToolUse("choose_agents", {"agents": _choose(asked)}))
    if asked.tools == ("note_answer",):
        heard = words(text)
        answer = "no" if heard & NO else "yes" if heard & YES else "unclear"
        return Thought(tool=ToolUse("note_answer", {"answer": answer}))
    if asked.system.startswith("Several specialists"):
        said = [_first_sentence(part.partition(": ")[2]) for part in text.split("\n\n")[1:]]
        return Thought(" ".join(dict.fromkeys(said)))
    if SPECIALIST in asked.system and asked.said and asked.said[-1].role == "tool" and not looked_up(text):
        return Thought(DEPENDS)
    if asked.system.startswith("Summarise") and not asked.tools:
        return Thought(_summary(text))
    return None


def _choose(asked: Asked) -> list[str]:
    """Return who shares most words with the request; somebody, even when nobody shares one: a model chooses too."""
    wanted = _stems(asked.said[-1].text)
    most = asked.body["tools"][0]
    schema = most["function"]["parameters"] if "function" in most else most["input_schema"]
    limit = schema["properties"]["agents"]["maxItems"]
    scored = []
    for slug, about in _AGENT.findall(asked.system):
        scored.append((-len(wanted & _stems(f"{slug} {about}")), slug))
    best = sorted(scored)[:limit]
    return [slug for shared, slug in best if shared] or [slug for _, slug in best[:1]]


def _stems(text: str) -> set[str]:
    return {word[:6] for word in words(text) - COMMON if len(word) > 2}


def _first_sentence(text: str) -> str:
    return _SENTENCE.split(text.strip())[0]


def _summary(transcript: str) -> str:
    """The caller's first words and the agent's last: what a hasty reader would write down."""
    lines = [line.partition(": ") for line in transcript.splitlines()]
    asked = [said for who, _, said in lines if who == "Caller" and len(said.split()) > 2]
    answered = [said for who, _, said in lines if who == "Agent"]
    parts = [f"The caller said: {asked[0]}" if asked else "The caller said little."]
    if answered:
        parts.append(f"The last word was: {answered[-1]}")
    return " ".join(parts)
