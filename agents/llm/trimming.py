"""Which part of a conversation a model gets to see. A rule, so that the same conversation is always cut the same way."""

from __future__ import annotations

from collections.abc import Sequence

from agents.llm.base import Turn

CHARACTERS_PER_TOKEN = 3.5  # of European languages, on the safe side; the provider's own count is what is billed
TURN_OVERHEAD_TOKENS = 6
TOOL_RESULT_TOKENS = 1_500  # of one answer of a tool that is not the newest
CUT = " […]"


def estimate_tokens(text: str) -> int:
    return round(len(text) / CHARACTERS_PER_TOKEN)


def tokens_of(turn: Turn) -> int:
    calls = sum(estimate_tokens(call.name + call.arguments) for call in turn.tool_calls)
    return TURN_OVERHEAD_TOKENS + estimate_tokens(turn.text) + calls


def trim(turns: Sequence[Turn], *, budget_tokens: int) -> tuple[Turn, ...]:
    """Return the newest turns that fit. The last user turn stays whatever its length, and so does all after it.

    What is kept begins with a user's turn: a call of a tool is never parted from its answer. Calls that were never
    answered, as when somebody pressed stop, are dropped, since providers refuse them.
    """
    paired = _answered(turns)
    groups = _groups(paired)
    kept: list[list[Turn]] = []
    left = budget_tokens
    for number, group in enumerate(reversed(groups)):
        group = group if number == 0 else [_shortened(turn) for turn in group]
        cost = sum(tokens_of(turn) for turn in group)
        if number and cost > left:
            break
        left -= cost
        kept.append(group)
    return tuple(turn for group in reversed(kept) for turn in group)


def _answered(turns: Sequence[Turn]) -> list[Turn]:
    answers = {turn.tool_call_id for turn in turns if turn.role == "tool"}
    asked = {call.id for turn in turns for call in turn.tool_calls if call.id in answers}
    found = []
    for turn in turns:
        if turn.role == "tool" and turn.tool_call_id not in asked:
            continue
        if any(call.id not in asked for call in turn.tool_calls):
            turn = Turn(turn.role, turn.text, tuple(call for call in turn.tool_calls if call.id in asked))
        if turn.text or turn.tool_calls or turn.role == "tool":
            found.append(turn)
    return found


def _groups(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Return the turns in groups that begin with a user's; what comes before the first is an opening of the agent's."""
    groups: list[list[Turn]] = []
    for turn in turns:
        if turn.role == "user" or not groups:
            groups.append([])
        groups[-1].append(turn)
    return groups


def _shortened(turn: Turn) -> Turn:
    limit = round(TOOL_RESULT_TOKENS * CHARACTERS_PER_TOKEN)
    if turn.role != "tool" or len(turn.text) <= limit:
        return turn
    return Turn("tool", turn.text[:limit] + CUT, tool_call_id=turn.tool_call_id, is_error=turn.is_error)
