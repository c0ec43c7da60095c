"""What is written down of a conversation: words, events, latencies, numbered in the order they came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from telephony.effects import AddEvent, AddLatency, AddMessage, Effect
from telephony.engines.base import Transcript, Utterance
from telephony.enums import EventKind

SEQUENCES_PER_STREAM = 1_000_000  # each stream numbers its entries in a range of its own
ECHO_S = 5.0  # providers repeat at once what we put into the caller's mouth, or never
MOST_UNKNOWN = 20  # types of messages noted one by one; what else comes is counted together


class Record:
    def __init__(self, *, stream_number: int, history: Iterable[Utterance]) -> None:
        self.history: list[Utterance] = list(history)
        self.counts: dict[str, int] = {}
        self._sequence = stream_number * SEQUENCES_PER_STREAM
        # Texts we put into the caller's mouth, and when: providers may repeat them as if they had been heard.
        self._injected: list[tuple[str, float]] = []
        # The exchange under way: when the caller ended, and which message is the agent's answer.
        self._caller_ended_at: float | None = None
        self._answer: int | None = None
        self._waiting_ms: dict[str, int] = {}

    @property
    def is_unanswered(self) -> bool:
        """The last words are the caller's."""
        return bool(self.history) and self.history[-1].role == "user"

    @property
    def has_answered(self) -> bool:
        """The agent has said something in this exchange."""
        return self._answer is not None

    def event(self, kind: EventKind, detail: dict[str, Any] | None = None) -> AddEvent:
        return AddEvent(self._next(), kind, detail or {})

    def message(self, said: Transcript) -> AddMessage:
        self.history.append(Utterance(said.role, said.text))
        message = AddMessage(self._next(), said.role, said.text)
        if said.role == "assistant" and self._answer is None:
            self._answer = message.sequence
        return message

    def unknown(self, what: str) -> list[Effect]:
        """Note a message nobody knows, once for each type, as long as those are few."""
        name = f"unknown:{what}"
        if name not in self.counts and len(self.counts) >= MOST_UNKNOWN:
            what, name = "others", "unknown:others"
        self.count(name)
        return [self.event(EventKind.UNKNOWN_MESSAGE, {"type": what})] if self.counts[name] == 1 else []

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def injected(self, text: str, now: float) -> None:
        self._injected = [*self._injected[-3:], (text.strip(), now)]

    def forget_injected(self) -> None:
        """Words that come from now on are the caller's own: they speak, or another session hears them."""
        self._injected.clear()

    def is_echo(self, text: str, now: float) -> bool:
        """Tell, once, whether the caller's words are ones we have just put into their mouth."""
        for one in self._injected:
            if one[0] == text.strip() and now - one[1] <= ECHO_S:
                self._injected.remove(one)
                return True
        return False

    # --- latency -------------------------------------------------------------------------------------------------

    def caller_ended(self, now: float) -> None:
        self._caller_ended_at, self._answer, self._waiting_ms = now, None, {}

    def agent_began(self, now: float) -> None:
        if self._caller_ended_at is not None:
            self._waiting_ms["total"] = round((now - self._caller_ended_at) * 1000)
            self._caller_ended_at = None

    def measured(self, values_ms: dict[str, int]) -> None:
        self._waiting_ms.update(values_ms)

    def latency(self) -> list[Effect]:
        """Return what is known of this exchange's latency, as soon as the message it belongs to exists."""
        if not self._waiting_ms or self._answer is None:
            return []
        known, self._waiting_ms = self._waiting_ms, {}
        return [AddLatency(self._answer, known)]

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence
