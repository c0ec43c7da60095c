"""Retries, deadline and breaker around a model."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import aclosing

import pytest

from agents.llm import registry
from agents.llm.asking import TRIES, complete, stream
from agents.llm.base import ErrorCode, Finished, LlmError, TextDelta, ToolCall
from agents.llm.breaker import Breaker, Rules, State
from agents.llm.closing import close_clients, keep_client
from agents.llm.tests.conftest import ask
from sandbox.deepgram.brain import Thought
from sandbox.models.account import Fault, Kind
from thanos.redis import async_client


class Scripted:
    """A model that does, try after try, what it was told."""

    provider = "scripted"

    def __init__(self, *tries):
        self.tries = list(tries)
        self.asked = 0

    async def stream(self, request):
        self.asked += 1
        for step in self.tries.pop(0):
            if isinstance(step, Exception):
                raise step
            if step == "hang":
                await asyncio.sleep(3600)
            yield step


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class NoBreaker:
    async def admits(self):
        return True

    async def succeeded(self):
        pass


DONE = Finished("stop", None)
OVERLOADED = LlmError(ErrorCode.OVERLOADED, retryable=True)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def waits():
    return []


async def asked(model, waits, *, clock=None, **values):
    async def sleep(seconds):
        waits.append(seconds)

    breaker = Breaker("scripted", async_client(), clock=clock or Clock())
    return await complete("scripted", ask(**values), model=model, breaker=breaker, sleep=sleep)


async def test_what_passes_is_tried_again_each_time_later(waits):
    model = Scripted([OVERLOADED], [OVERLOADED], [TextDelta("Hello"), DONE])

    answer = await asked(model, waits)

    assert (answer.text, model.asked) == ("Hello", TRIES)
    assert 0.4 <= waits[0] <= 0.5 < 0.8 <= waits[1] <= 1.0


async def test_it_is_given_up_after_so_many(waits):
    model = Scripted(*[[OVERLOADED]] * 9)

    with pytest.raises(LlmError):
        await asked(model, waits)

    assert (model.asked, len(waits)) == (TRIES, TRIES - 1)


@pytest.mark.parametrize(
    "error",
    [
        LlmError(ErrorCode.REFUSED_KEY),
        LlmError(ErrorCode.RATE_LIMITED, retryable=True, retry_after_s=60),  # nobody on the telephone waits for that
    ],
)
async def test_what_does_not_pass_is_not_tried_again(waits, error):
    model = Scripted([error], [TextDelta("Hello"), DONE])

    with pytest.raises(LlmError):
        await asked(model, waits)

    assert (model.asked, waits) == (1, [])


async def test_words_that_were_heard_are_not_said_again(waits):
    model = Scripted([TextDelta("Hel"), OVERLOADED], [TextDelta("Hello"), DONE])

    with pytest.raises(LlmError):
        await asked(model, waits)

    assert model.asked == 1


async def test_the_deadline_is_for_everything(waits):
    model = Scripted([TextDelta("Well"), "hang"])

    with pytest.raises(LlmError) as caught:
        await asked(model, waits, deadline_s=0.05)

    assert caught.value.code is ErrorCode.TOO_SLOW


async def test_a_listener_who_leaves_ends_the_request(waits):
    model = Scripted([TextDelta("One"), TextDelta("two"), DONE])
    breaker = Breaker("scripted", async_client())

    async with aclosing(stream("scripted", ask(), model=model, breaker=breaker)) as events:
        assert await anext(events) == TextDelta("One")

    assert await breaker.state() is State.CLOSED


async def test_a_provider_in_trouble_is_left_alone_for_a_while(waits, clock):
    failing = Scripted(*[[OVERLOADED]] * 20)
    for _ in range(2):
        with pytest.raises(LlmError):
            await asked(failing, waits, clock=clock)
    asked_before = failing.asked

    with pytest.raises(LlmError) as caught:
        await asked(failing, waits, clock=clock)

    assert (caught.value.code, failing.asked) == (ErrorCode.RESTING, asked_before)
    assert asked_before == 5  # the fifth failure opened it, in the middle of the second request's tries


async def test_then_one_request_tries_and_its_answer_closes_it(clock):
    breaker = Breaker("x", async_client(), rules=Rules(failures=2, within_s=30, rest_s=15), clock=clock)
    other_process = Breaker("x", async_client(), rules=Rules(failures=2, within_s=30, rest_s=15), clock=clock)
    await breaker.failed(ErrorCode.UNREACHABLE, mark="a")
    await breaker.failed(ErrorCode.UNREACHABLE, mark="a")  # the same one
    assert await breaker.state() is State.CLOSED
    await other_process.failed(ErrorCode.UNREACHABLE, mark="b")
    assert [await breaker.state(), await breaker.admits()] == [State.OPEN, False]

    clock.now += 16
    assert await breaker.state() is State.HALF_OPEN
    assert [await breaker.admits(), await other_process.admits()] == [True, False]
    await breaker.failed(ErrorCode.TOO_SLOW, mark="c")
    assert await breaker.state() is State.OPEN
    clock.now += 16
    assert await other_process.admits()
    await other_process.succeeded()

    assert [await breaker.state(), await breaker.admits()] == [State.CLOSED, True]


async def test_failures_long_past_do_not_count(clock):
    breaker = Breaker("x", async_client(), rules=Rules(failures=2, within_s=30), clock=clock)
    await breaker.failed(ErrorCode.OVERLOADED, mark="a")
    clock.now += 31
    await breaker.failed(ErrorCode.OVERLOADED, mark="b")

    assert await breaker.state() is State.CLOSED


async def test_our_own_mistakes_are_not_the_providers_trouble(clock):
    breaker = Breaker("x", async_client(), rules=Rules(failures=1), clock=clock)

    await breaker.failed(ErrorCode.REFUSED_KEY, mark="a")

    assert await breaker.state() is State.CLOSED


async def test_one_provider_is_not_another(clock):
    await Breaker("x", async_client(), rules=Rules(failures=1), clock=clock).failed(ErrorCode.OVERLOADED, mark="a")

    assert await Breaker("y", async_client(), rules=Rules(failures=1), clock=clock).admits()


async def test_without_redis_everybody_is_asked():
    import redis.asyncio

    nowhere = redis.asyncio.Redis(unix_socket_path="/nowhere/redis.sock")

    breaker = Breaker("x", nowhere)
    await breaker.failed(ErrorCode.OVERLOADED, mark="a")
    await breaker.succeeded()
    assert await breaker.admits()
    await nowhere.aclose()


# --- as the product asks -----------------------------------------------------------------------------------------------


async def test_the_configured_provider_is_asked(providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "openai_api_key", providers.models.api_key)
    monkeypatch.setattr(settings.ENV, "openai_base_url", f"{providers.url}/v1")
    providers.models.faults.append(Fault(Kind.STATUS, status=503))
    providers.models.script.append(Thought("At nine."))

    answer = await complete("openai", ask("When?"))
    await close_clients()

    assert (answer.text, answer.usage.output_tokens) == ("At nine.", 2)
    assert registry.configured_providers() == ["openai"]


async def test_nothing_configured_says_so(settings):
    with pytest.raises(LlmError) as caught:
        await complete("openai", ask())

    assert caught.value.code is ErrorCode.NOT_CONFIGURED
    assert registry.configured_providers() == []


def test_text_is_made_valid_where_it_comes_in_and_a_pair_in_two_pieces_is_one_character():
    pieces = ["a\u000b\ud83d", "\ude00 b\ud83d", " c", "\ud83d"]
    model = Scripted([*map(TextDelta, pieces), ToolCall("1", "to\0ol", '{"a": "\ud83d\0"}'), DONE])
    completion = asyncio.run(complete("x", ask(), model=model, breaker=NoBreaker()))
    assert completion.text == "a \U0001f600 b\ufffd c\ufffd"
    assert completion.tool_calls == (ToolCall("1", "tool", '{"a": "\ufffd"}'),)


def test_calls_without_an_id_or_with_another_ones_get_their_own():
    given = [ToolCall(number, "tool", "{}") for number in ("", "", "call_0", "call_0")]
    model = Scripted([*given, Finished("tools", None)])
    calls = asyncio.run(complete("x", ask(), model=model, breaker=NoBreaker())).tool_calls
    ids = [call.id for call in calls]
    assert (len(set(ids)), all(ids), ids[2]) == (4, True, "call_0")


class _Client:
    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


async def test_clients_are_made_beside_the_loop_once_for_all_who_ask_at_once():
    """An SDK takes a second to import; the loop may carry calls."""
    made: list[_Client] = []

    def make() -> _Client:
        made.append(_Client())
        return made[-1]

    first, second = await asyncio.gather(keep_client("a", make), keep_client("a", make))
    third = await keep_client("a", make)

    assert first is second is third
    assert all(client.thread is not threading.current_thread() for client in made)
    assert [client.is_closed for client in made if client is not first] == [True] * (len(made) - 1)
    await close_clients()
    assert first.is_closed


def test_the_sdks_of_configured_providers_are_there_before_they_are_needed(models, monkeypatch):
    monkeypatch.delitem(sys.modules, "openai", raising=False)

    registry.load_sdks()

    assert "openai" in sys.modules
