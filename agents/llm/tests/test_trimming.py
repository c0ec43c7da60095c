from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.llm.base import ToolCall, Turn
from agents.llm.trimming import TOOL_RESULT_TOKENS, tokens_of, trim
from sandbox.models.openai import unanswered


def user(text):
    return Turn("user", text)


def agent(text, *calls):
    return Turn("assistant", text, tuple(ToolCall(call, "look", "{}") for call in calls))


def tool(call, text="found"):
    return Turn("tool", text, tool_call_id=call)


def test_the_newest_that_fit_stay():
    turns = [user("a" * 350), agent("b" * 350), user("c" * 350), agent("d" * 350)]

    assert trim(turns, budget_tokens=250) == tuple(turns[2:])
    assert trim(turns, budget_tokens=10_000) == tuple(turns)


def test_the_last_question_stays_however_long():
    turns = [user("short"), agent("x"), user("y" * 10_000)]

    assert trim(turns, budget_tokens=1) == (turns[2],)


def test_a_call_is_never_parted_from_its_answer():
    turns = [user("q"), agent("", "1"), tool("1", "z" * 3_500), agent("done"), user("next")]

    assert trim(turns, budget_tokens=100) == (user("next"),)
    assert trim(turns, budget_tokens=5_000) == tuple(turns)


def test_a_call_nobody_answered_is_dropped():
    """As when somebody pressed stop while the tool worked."""
    turns = [user("q"), agent("Let me see.", "1", "2"), tool("1"), user("never mind"), tool("9")]

    assert trim(turns, budget_tokens=1_000) == (user("q"), agent("Let me see.", "1"), tool("1"), user("never mind"))


def test_an_answer_with_nothing_left_in_it_is_dropped():
    assert trim([user("q"), agent("", "1"), user("w")], budget_tokens=1_000) == (user("q"), user("w"))


def test_old_answers_of_tools_are_shortened_the_newest_is_not():
    long = "w" * 50_000
    old, new = trim(
        [user("a"), agent("", "1"), tool("1", long), user("b"), agent("", "2"), tool("2", long)], budget_tokens=10**6
    )[2::3]

    assert len(old.text) < TOOL_RESULT_TOKENS * 4 < len(new.text) == len(long)


_TURNS = st.lists(
    st.one_of(
        st.builds(user, st.text(min_size=1, max_size=50)),
        st.builds(agent, st.text(min_size=1, max_size=50)),
        st.integers(0, 9).map(lambda n: agent("", f"c{n}")),
        st.integers(0, 9).map(lambda n: tool(f"c{n}")),
    ),
    max_size=20,
)


@given(_TURNS, st.integers(0, 300))
def test_whatever_was_said_what_is_kept_is_bounded_and_in_order(turns, budget):
    kept = trim(turns, budget_tokens=budget)

    texts = [turn.text for turn in turns]
    at = 0
    for turn in kept:
        at = texts.index(turn.text, at)
    asked = {call.id for turn in kept for call in turn.tool_calls}
    assert asked == {turn.tool_call_id for turn in kept if turn.role == "tool"} | asked
    if any(turn.role == "user" for turn in turns):
        last = max(number for number, turn in enumerate(turns) if turn.role == "user")
        assert turns[last] in kept
        assert sum(map(tokens_of, kept)) <= budget + sum(map(tokens_of, turns[last:]))


def test_an_openai_server_takes_what_is_left():
    turns = [user("q"), agent("Let me see.", "1", "2"), tool("1"), tool("2"), user("w"), agent("", "3"), user("x")]
    from agents.llm.openai import _message

    assert unanswered([_message(turn) for turn in trim(turns, budget_tokens=1_000)]) == ""
