"""Boring rows and forms."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from django.utils import timezone

from agents.tools import tools_named
from telephony.engines.base import EngineConfig, Utterance
from telephony.enums import CallStatus
from telephony.models import Call, CallMessage, Line
from telephony.plan import CallPlan, Limits, Texts
from thanos.encryption import blind_index, blind_words

_numbers = itertools.count(1)


def call_sid() -> str:
    return f"CA{next(_numbers):032x}"


def make_call(line: Line | None = None, *, from_number: str = "+15557001", **fields: Any) -> Call:
    values: dict[str, Any] = {
        "call_sid": call_sid(),
        "line": line or Line.objects.get(is_default=True),
        "from_number": from_number,
        "from_index": blind_index(from_number),
        "to_number": "+15550100",
        "to_index": blind_index("+15550100"),
        **fields,
    }
    return Call.objects.create(**values)


def make_finished_call(line: Line | None = None, **fields: Any) -> Call:
    now = timezone.now()
    values = {"status": CallStatus.COMPLETED, "answered_at": now, "ended_at": now, "duration_s": 61, **fields}
    return make_call(line, **values)


def add_message(
    call: Call, sequence: int, role: str, text: str, *, at: datetime | None = None, **fields: Any
) -> CallMessage:
    return CallMessage.objects.create(
        call=call,
        sequence=sequence,
        role=role,
        text=text,
        words=blind_words(text),
        spoken_at=at or timezone.now(),
        **fields,
    )


def incoming_form(**changes: str) -> dict[str, str]:
    return {
        "CallSid": call_sid(),
        "AccountSid": "AC" + "0" * 32,
        "From": "+15557001",
        "To": "+15550100",
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
        "FromCity": "",
        **changes,
    }


def make_plan(**changes: Any) -> CallPlan:
    values: dict[str, Any] = {
        "call_id": "3f1d0000-0000-4000-8000-000000000001",
        "call_sid": "CA1",
        "schema": "t_test",
        "stream_number": 1,
        "engine_name": "voice_agent",
        "engine": EngineConfig(
            prompt="Be kind.",
            greeting="Hello.",
            language="en",
            voice="aura-2-thalia-en",
            listen_model="flux-general-en",
            think_provider="open_ai",
            think_model="gpt-4.1-mini",
            temperature=0.4,
        ),
        "texts": Texts(
            silence_prompt="Still there?",
            silence_goodbye="Goodbye then.",
            length_goodbye="Time is up.",
            length_warning_note="Wrap up.",
            dtmf_note="Pressed {digits}.",
            resume="We were cut off.",
        ),
        "limits": Limits(max_call_s=600, length_warning_s=60, silence_prompt_s=8, silence_goodbye_s=20, max_dead_air_s=5),
        "tools": tools_named(["end_call", "transfer_to_person"]),
        "joining": None,
        "transfer_number": "+15550999",
        "caller_number": "+15557001",
        "elapsed_s": 0.0,
        "record": False,
        "is_browser": False,
        **changes,
    }
    return CallPlan(**values)


def said(*turns: tuple[str, str]) -> tuple[Utterance, ...]:
    return tuple(Utterance(role, text) for role, text in turns)  # type: ignore[arg-type]
