from __future__ import annotations

import pytest

from agents.briefs import Brief
from agents.dialogue import Conversation, Spoken, Stopped, ToolBegan, ToolEnded, ask_agent
from agents.llm.base import ErrorCode, LlmError, Turn
from agents.tools import Tool, ToolContext, ToolError, ToolOutcome
from sandbox.deepgram.brain import Thought, ToolUse
from sandbox.models.account import Fault, Kind

BRIEF = Brief("helper", "Helper", "Helping", "", "You help.")


async def _price(context, arguments):
    if arguments["what"] == "nothing":
        raise ToolError("There is no such thing.")
    if arguments["what"] == "chaos":
        raise RuntimeError
    return ToolOutcome({"price": 40, "for": arguments["what"], "said": list(context.said)})


PRICE = Tool(
    "price",
    "What something costs.",
    {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    _price,
)


def talk(**changes) -> Conversation:
    values = {"brief": BRIEF, "instructions": "You help.", "tools": {"price": PRICE}}
    context = ToolContext("c1", "t_x", "", "", said=("before",))
    return Conversation(**{**values, "context": context, **changes})


async def test_an_answer_comes_in_pieces_with_what_it_took(models):
    models.script.append(Thought("We are open until six."))
    seen = []
    answer = await ask_agent(talk(), "Until when?", on_progress=seen.append)
    assert answer.text == "We are open until six."
    assert "".join(piece.text for piece in seen) == answer.text
    assert len(seen) > 2
    assert answer.usage.output_tokens > 0
    assert answer.first_word_ms <= answer.duration_ms
    assert [turn.role for turn in answer.turns] == ["user", "assistant"]
    (asked,) = models.asked
    assert (asked.system, asked.model, asked.tools) == ("You help.", "sandbox-small", ("price",))


async def test_tools_are_used_and_the_agent_told_what_came_of_it(models):
    models.script += [Thought(tool=ToolUse("price", {"what": "tea"})), Thought("Forty.")]
    seen = []
    answer = await ask_agent(talk(), "What is tea?", on_progress=seen.append)
    assert answer.text == "Forty."
    assert [type(one) for one in seen] == [ToolBegan, ToolEnded, Spoken]
    assert [(one.call.name, one.failed) for one in answer.used] == [("price", False)]
    assert models.asked[-1].said[-1].text == '{"price": 40, "for": "tea", "said": ["before"]}'
    assert answer.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("name", "what", "told"),
    [
        ("price", "nothing", "There is no such thing."),
        ("price", "chaos", "The tool failed."),
        ("price", 7, "The arguments do not fit"),
        ("steal", "x", "There is no tool named steal."),
    ],
)
async def test_a_tool_that_fails_is_told_to_the_agent_and_to_nobody_else(models, name, what, told):
    models.script += [Thought(tool=ToolUse(name, {"what": what})), Thought("Sorry.")]
    answer = await ask_agent(talk(), "?")
    assert answer.text == "Sorry."
    assert answer.used[0].failed
    assert models.asked[-1].said[-1].text.startswith(told)


async def test_an_agent_that_uses_tools_for_ever_has_to_say_something(models):
    models.script += [Thought(tool=ToolUse("price", {"what": "tea"}))] * 6 + [Thought("Enough.")]
    answer = await ask_agent(talk(), "?")
    assert answer.text == "Enough."
    assert models.asked[-1].tools == ()
    assert len(answer.used) == 6


async def test_what_was_said_before_is_known_and_cut_by_rule(models):
    turns = (Turn("user", "x" * 60_000), Turn("assistant", "y"), Turn("user", "My name is Ann."), Turn("assistant", "Hi."))
    await ask_agent(talk(turns=turns), "Who am I?")
    assert [one.text for one in models.asked[-1].said] == ["My name is Ann.", "Hi.", "Who am I?"]


async def test_it_stops_where_it_is(models):
    models.script.append(Thought("one two three four five"))
    pieces = []
    with pytest.raises(Stopped) as stopped:
        await ask_agent(talk(), "Count.", on_progress=pieces.append, is_stopped=lambda: len(pieces) >= 2)
    assert stopped.value.answer.text == "one two "
    assert stopped.value.answer.turns[-1].text == "one two "


async def test_a_model_that_fails_says_how(models):
    models.faults.append(Fault(Kind.STATUS, times=9, status=401))
    with pytest.raises(LlmError) as failed:
        await ask_agent(talk(), "?")
    assert failed.value.code is ErrorCode.REFUSED_KEY


async def test_nobody_configured(settings):
    with pytest.raises(LlmError) as failed:
        await ask_agent(talk(), "?")
    assert failed.value.code is ErrorCode.NOT_CONFIGURED


async def test_a_time_limit_holds_for_everything_together(models):
    models.faults.append(Fault(Kind.HANG, times=9))
    with pytest.raises(LlmError) as failed:
        await ask_agent(talk(deadline_s=0.2), "?")
    assert failed.value.code is ErrorCode.TOO_SLOW
