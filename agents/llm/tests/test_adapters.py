"""Both adapters against stand-ins that speak the providers' own protocols, over real sockets."""

from __future__ import annotations

import json
from contextlib import aclosing

import pytest

from agents.llm.base import Collected, ErrorCode, Finished, LlmError, TextDelta, ToolCall, Turn
from agents.llm.closing import close_clients
from agents.llm.tests.conftest import WEATHER, ask
from sandbox.deepgram.brain import Thought, ToolUse
from sandbox.models.account import Fault, Kind


async def answered(model, request):
    """Return the events of an answer."""
    try:
        async with aclosing(model.stream(request)) as events:
            return [event async for event in events]
    finally:
        await close_clients()


async def test_text_comes_in_pieces_and_ends_with_the_tokens(model, account):
    account.script.append(Thought("We open at nine."))

    events = await answered(model, ask())

    assert [event.text for event in events if isinstance(event, TextDelta) and event.text] == [
        "We ",
        "open ",
        "at ",
        "nine.",
    ]
    assert isinstance(events[-1], Finished) and events[-1].reason == "stop"
    assert events[-1].usage.input_tokens > 5 and events[-1].usage.output_tokens == 4


async def test_a_tool_call_comes_whole(model, account):
    account.script.append(Thought(tool=ToolUse("weather", {"city": "Zoë's"})))

    events = await answered(model, ask(tools=(WEATHER,)))

    (call,) = [event for event in events if isinstance(event, ToolCall)]
    assert (call.name, json.loads(call.arguments), bool(call.id)) == ("weather", {"city": "Zoë's"}, True)
    assert events[-1].reason == "tools"
    assert account.asked[-1].tools == ("weather",)


async def test_a_tools_answer_goes_back_as_the_provider_wants_it(model, account):
    call = ToolCall("call_1", "weather", '{"city": "Rome"}')
    turns = (
        Turn("user", "Hi"),
        Turn("assistant", "One moment.", (call,)),
        Turn("tool", "sunny", tool_call_id="call_1", is_error=False),
    )

    await answered(model, ask("And tomorrow?", turns=turns, tools=(WEATHER,)))

    said = [(one.role, one.text, one.tool) for one in account.asked[-1].said if one.text]
    assert said == [
        ("user", "Hi", ""),
        ("assistant", "One moment.", ""),
        ("tool", "sunny", "weather"),
        ("user", "And tomorrow?", ""),
    ]
    assert account.asked[-1].system == "You are Robin. We open at nine."


async def test_a_temperature_goes_only_where_it_is_taken(model, account):
    await answered(model, ask(temperature=0.3))

    body = account.asked[-1].body
    assert body.get("temperature") == (0.3 if model.provider == "openai" else None)


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (Fault(Kind.STATUS, status=429, after_s=7), ErrorCode.RATE_LIMITED, True),
        (Fault(Kind.STATUS, status=500), ErrorCode.OVERLOADED, True),
        (Fault(Kind.STATUS, status=529), ErrorCode.OVERLOADED, True),
        (Fault(Kind.STATUS, status=401), ErrorCode.REFUSED_KEY, False),
        (Fault(Kind.STATUS, status=404), ErrorCode.UNKNOWN_MODEL, False),
        (Fault(Kind.STATUS, status=422), ErrorCode.REFUSED_REQUEST, False),
    ],
)
async def test_each_refusal_has_one_name(model, account, fault, code, retryable):
    account.faults.append(fault)

    with pytest.raises(LlmError) as caught:
        await answered(model, ask())

    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert caught.value.retry_after_s == fault.after_s


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.CUT, Kind.ERROR])
async def test_an_answer_that_breaks_off_is_no_answer(model, account, kind):
    account.script.append(Thought("One two three four."))
    account.faults.append(Fault(kind))
    got = Collected()

    with pytest.raises(LlmError) as caught:
        try:
            async for event in model.stream(ask()):
                got.add(event)
        finally:
            await close_clients()

    assert caught.value.retryable
    assert got.finished is None
    assert "One" not in str(caught.value)  # nothing of a conversation is in an error


async def test_nobody_there(model, providers):
    with providers.away(), pytest.raises(LlmError) as caught:
        await answered(model, ask())

    assert caught.value.code is ErrorCode.UNREACHABLE


async def test_no_credit_is_not_a_matter_of_time(providers, account):
    from agents.llm.openai import OpenAiModel

    account.faults.append(Fault(Kind.STATUS, status=429, code="insufficient_quota"))
    model = OpenAiModel(api_key=account.api_key, base_url=f"{providers.url}/v1")

    with pytest.raises(LlmError) as caught:
        await answered(model, ask())

    assert (caught.value.code, caught.value.retryable) == (ErrorCode.NO_CREDIT, False)
