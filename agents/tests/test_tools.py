import asyncio

import pytest

from agents import tools as module
from agents.tools import (
    AfterTurn,
    Tool,
    ToolContext,
    ToolError,
    ToolOutcome,
    parse_arguments,
    register,
    run_tool,
    tools_named,
)
from telephony import tools as telephony_tools

CONTEXT = ToolContext("call", "t_a", "+15550999", "+15557001")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}


async def echo(context, arguments):
    return ToolOutcome({"got": arguments, "call": context.call_id})


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setattr(module, "_registry", dict(module._registry))
    return register(Tool("echo", "Says it back.", SCHEMA, echo, time_limit_s=0.05))


async def test_a_tool_gets_checked_arguments_and_its_call(tool):
    outcome = await run_tool(tool, CONTEXT, '{"city": "Graz"}')

    assert outcome.content == {"got": {"city": "Graz"}, "call": "call"}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("{", "not JSON"),
        ("{}", "city is missing"),
        ('{"city": 5}', "city: must be of type string"),
        ('{"city": "Graz", "count": 0}', "count: must be 1 or more"),
        ('{"city": "Graz", "zip": "1"}', "zip is not known; known are city, count"),
        ("[]", "must be a JSON object"),
        ('{"city": 5, "count": 0}', "; "),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(tool, arguments, fault):
    with pytest.raises(ToolError, match=fault):
        parse_arguments(tool, arguments)


async def test_a_tool_that_takes_too_long_is_stopped(tool, monkeypatch):
    stopped = asyncio.Event()

    async def sleep(context, arguments):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            stopped.set()
            raise

    slow = register(Tool("slow", "Takes its time.", {"type": "object"}, sleep, time_limit_s=0.01))

    with pytest.raises(ToolError, match=r"did not answer within 0\.01 seconds"):
        await run_tool(slow, CONTEXT, "{}")
    assert stopped.is_set()


def test_a_name_belongs_to_one_tool(tool):
    register(tool)
    with pytest.raises(ValueError, match="exists already"):
        register(Tool("echo", "Another one.", SCHEMA, echo))


def test_a_faulty_schema_is_refused(tool):
    with pytest.raises(Exception, match="must be one of"):
        register(Tool("faulty", "", {"type": "sparkling"}, echo))


def test_names_nobody_registers_are_left_out(tool):
    assert list(tools_named(["echo", "gone"])) == ["echo"]


async def test_end_call_ends_after_the_turn():
    outcome = await run_tool(telephony_tools.end_call, CONTEXT, '{"reason": "done"}')

    assert outcome.after_turn == AfterTurn("hang-up", note="done")
    assert telephony_tools.end_call.irreversible


async def test_a_transfer_goes_to_the_lines_person():
    outcome = await run_tool(telephony_tools.transfer_to_person, CONTEXT, '{"reason": "asked"}')

    assert outcome.after_turn == AfterTurn("transfer", "+15550999", "asked")


async def test_without_a_person_the_agent_is_told():
    nobody = ToolContext("call", "t_a", "", "")

    with pytest.raises(ToolError, match="No person"):
        await run_tool(telephony_tools.transfer_to_person, nobody, "{}")


def test_each_tool_of_ours_says_to_people_what_it_does(in_alice):
    """What a model reads ("Then tell them the sentence in `say`") is nothing an owner should have to read."""
    ours = [tool for tool in module.all_tools() if ".tests." not in tool.run.__module__]
    assert {"end_call", "take_message", "search_knowledge", "get_billing_status"} <= {tool.name for tool in ours}
    for tool in ours:
        assert tool.title and tool.label != tool.name, tool.name
        assert tool.summary.endswith(".") and len(tool.summary) < 120 and "`" not in tool.summary, tool.name


def test_forms_offer_tools_by_what_people_read(in_alice):
    labels = [label for _, label in module.tool_choices("call")]

    assert labels == sorted(labels, key=str.casefold)
    assert ("take_message", "Take a message") in module.tool_choices("call")
