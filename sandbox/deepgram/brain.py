"""What the stand-in agent answers: a few rules over the line's prompt and tools, or a configured language model."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

GOODBYES = frozenset({"bye", "goodbye", "cheers", "farewell"})
PERSONS = frozenset({"person", "human", "manager", "somebody", "someone", "colleague", "operator", "receptionist"})
GREETINGS = frozenset({"hello", "hi", "hey"})
COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "at",
        "be",
        "can",
        "do",
        "does",
        "for",
        "from",
        "have",
        "how",
        "i",
        "in",
        "is",
        "it",
        "me",
        "my",
        "of",
        "on",
        "or",
        "our",
        "please",
        "so",
        "tell",
        "that",
        "the",
        "there",
        "this",
        "to",
        "us",
        "was",
        "we",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "you",
        "your",
        "about",
        "could",
        "would",
        "like",
        "just",
        "know",
    ]
)
_WORD = re.compile(r"[a-z0-9']+")
# Sentences of a prompt that tell the agent what to do rather than what to say.
_INSTRUCTIONS = (
    *(
        "You are",
        "You know",
        "You may",
        "Speak",
        "Find out",
        "Say ",
        "When ",
        "Use ",
        "Note down",
        "These are",
        "If ",
        "Ask ",
    ),
    *(
        "Do not",
        "Don't",
        "Never",
        "Always",
        "Look up",
        "Answer",
        "Help ",
        "Offer ",
        "Tell ",
        "Make ",
        "Be ",
        "Keep ",
        "Give ",
    ),
)
_NAME = re.compile(r"\bmy name is ([A-Za-z' -]{2,60})", re.IGNORECASE)
_DONE = {
    "save_contact_details": "Thank you, I have written that down.",
    "create_task": "I have noted that for my colleagues.",
    "add_note": "I have made a note of that.",
    "take_message": "Thank you, I will pass that on.",
    "send_sms": "I have sent you a text message.",
    "consult_specialist": "One moment, please.",
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
# How the product begins what it tells the agent of a caller it knows: notes, which no agent reads out.
_CALLER = re.compile(r"^(?:You know this caller\b|Name:|Business:|Status:|What happened last:|Still to be done:)")


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Thought:
    """Either a sentence to say, or a tool to use first."""

    text: str = ""
    tool: ToolUse | None = None


@dataclass(slots=True)
class Mind:
    prompt: str
    tools: frozenset[str]
    history: list[tuple[str, str]] = field(default_factory=list)


def words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def answer(mind: Mind, said: str | None) -> Thought:
    """Return what to do about what the caller said; None is what could not be understood."""
    if said is None:
        return Thought("I'm sorry, I did not understand that. Could you say it again?")
    heard = words(said)
    if said.startswith("("):  # a stage direction: what was noted last is to be passed on
        return Thought(_noted_last(mind.prompt) or "Let us go on.")
    if "say as little as possible" in mind.prompt:
        return Thought("One moment, please.")
    if heard & PERSONS and "transfer_to_person" in mind.tools:
        return Thought(tool=ToolUse("transfer_to_person", {"reason": said[:120]}))
    if heard & GOODBYES and "end_call" in mind.tools:
        return Thought(tool=ToolUse("end_call", {"reason": "the caller said goodbye"}))
    if asked := _about_the_caller(mind, said, heard):
        return asked
    if found := _from_prompt(mind.prompt, heard):
        return Thought(found)
    if "search_knowledge" in mind.tools and len(heard - COMMON) > 1:
        return Thought(tool=ToolUse("search_knowledge", {"question": said[:500]}))
    if heard & GREETINGS:
        return Thought("Hello! What can I do for you?")
    return Thought("I don't know that, I'm afraid. I can put you through to a person, if you like.")


def _about_the_caller(mind: Mind, said: str, heard: set[str]) -> Thought | None:
    """What a caller may want noted down, in the few wordings the stand-in understands."""
    if heard & {"stop", "never"} and heard & {"calling", "call", "contact"} and "set_do_not_contact" in mind.tools:
        return Thought(tool=ToolUse("set_do_not_contact", {}))
    if (name := _NAME.search(said)) and "save_contact_details" in mind.tools:
        return Thought(tool=ToolUse("save_contact_details", {"contact_name": name.group(1).strip()}))
    if {"call", "back"} <= heard and "create_task" in mind.tools:
        return Thought(tool=ToolUse("create_task", {"subject": said[:200]}))
    return None


def _noted_last(prompt: str) -> str:
    """Return the lines behind the prompt's last line that ends with a colon, up to the next blank one."""
    lines = prompt.splitlines()
    starts = [number for number, line in enumerate(lines) if line.rstrip().endswith(":")]
    if not starts:
        return ""
    rest = lines[starts[-1] + 1 :]
    return " ".join(rest[: rest.index("")] if "" in rest else rest)


def _from_prompt(prompt: str, heard: set[str]) -> str:
    """Return the sentence of the prompt that shares most words with the question: what the line's owner wrote there."""
    asked = heard - COMMON
    best, score = "", 0
    # Only what stands before the notes on the caller: a note may be of several sentences, each of which sounds like a fact.
    sentences = itertools.takewhile(lambda sentence: not _CALLER.match(sentence), _SENTENCE.split(prompt.strip()))
    for sentence in sentences:
        if sentence.startswith(_INSTRUCTIONS):
            continue  # instructions to the agent rather than facts for callers
        shared = len(asked & words(sentence))
        if shared > score:
            best, score = sentence.strip(), shared
    return best


def after_tool(name: str, result: str) -> str:
    """Return what to say once a tool has answered."""
    if name == "search_knowledge" and (found := looked_up(result)):
        return found
    try:
        failed = not json.loads(result).get("ok")
    except (ValueError, AttributeError):
        failed = True
    if name == "end_call":
        return "Thank you for calling. Goodbye!"
    if name == "transfer_to_person":
        return result if failed else "One moment, I'll put you through to a person now."
    try:
        return str(json.loads(result).get("say") or _DONE.get(name, result))
    except (ValueError, AttributeError):
        return result


def looked_up(result: str) -> str:
    """Return the first passage that a search in documents found, empty for none."""
    try:
        found = json.loads(result).get("found") or []
    except (ValueError, AttributeError):
        return ""
    return str(found[0]["text"]) if found else ""


async def think_with_model(mind: Mind, base_url: str, api_key: str, model: str, functions: list[dict[str, Any]]) -> Thought:
    """Ask a chat-completions server (a local Ollama, say). Raises openai.OpenAIError."""
    import openai

    client = openai.AsyncOpenAI(base_url=base_url, api_key=api_key or "unused", timeout=20, max_retries=0)
    messages: list[Any] = [{"role": "system", "content": mind.prompt}]
    messages += [{"role": role, "content": text} for role, text in mind.history]
    tools: list[Any] = [{"type": "function", "function": _plain(function)} for function in functions]
    reply = await client.chat.completions.create(model=model, messages=messages, tools=tools or openai.omit)
    message = reply.choices[0].message
    for call in message.tool_calls or []:
        function = getattr(call, "function", None)
        if function is not None:
            return Thought(tool=ToolUse(function.name, json.loads(function.arguments or "{}")))
    return Thought((message.content or "").strip() or "I'm sorry, I have no answer to that.")


def _plain(function: dict[str, Any]) -> dict[str, Any]:
    return {key: function[key] for key in ("name", "description", "parameters") if key in function}
