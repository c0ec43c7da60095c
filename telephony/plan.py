"""Everything one conversation needs to know, read once when its stream starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.collaboration.rules import Rules
from agents.collaboration.working import Specialists
from agents.llm.metering import Purpose
from agents.tools import Tool
from telephony.engines.base import EngineConfig
from telephony.spending import SpendingPlan


@dataclass(frozen=True, slots=True)
class Texts:
    silence_prompt: str
    silence_goodbye: str
    length_goodbye: str
    length_warning_note: str
    dtmf_note: str
    resume: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds."""

    max_call_s: float
    length_warning_s: float
    silence_prompt_s: float
    silence_goodbye_s: float
    max_dead_air_s: float


@dataclass(frozen=True, slots=True)
class Joining:
    """By what rules specialists may join, and who they are."""

    rules: Rules
    specialists: Specialists


@dataclass(frozen=True, slots=True)
class CallPlan:
    call_id: str
    call_sid: str
    schema: str
    stream_number: int  # 1 for the first media stream of the call, 2 after a resume, …
    engine_name: str
    engine: EngineConfig
    texts: Texts
    limits: Limits
    tools: Mapping[str, Tool]
    joining: Joining | None
    transfer_number: str
    caller_number: str  # E.164; empty for a caller that has none
    elapsed_s: float  # of the call, before this stream
    record: bool
    is_browser: bool
    caller_verified: bool = False  # the calling network vouches for the caller's number
    details_by_number: bool = False  # the line's switch: the number alone is proof enough here
    own_number: str = ""  # the number that was called
    purpose: Purpose | None = None  # what language models are asked for in this call
    spending: SpendingPlan | None = None  # None: nothing is limited
    is_told: bool = False  # the caller has just heard why they are back, so no apology is due

    @property
    def irreversible_tools(self) -> frozenset[str]:
        return frozenset(name for name, tool in self.tools.items() if tool.irreversible)

    @property
    def is_resumed(self) -> bool:
        return self.stream_number > 1
