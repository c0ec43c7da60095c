"""Messages as providers send them when something of theirs is broken: valid ones with one thing wrong, or several.

The same seed gives the same messages. None of them ends a call by its meaning (no `stop`, no `Error`, no tool that hangs
up): whatever ends one is a fault of whoever reads it.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

HALF = "\ud83d"  # half of an emoji; written as the escape that it is sent as
ODD_TEXTS = [
    "",
    " ",
    HALF,
    f"upset {HALF} about",
    "\x00",
    "a\x0bb\x1f",
    "é" * 300,
    "😀",
    "\u202e",
    "null",
    "{}",
    "9" * 400,
    "\ufffe",
]
ODD_NUMBERS: list[Any] = [0, -1, 1, 2**31, 2**63, 2**70, -(2**70), 0.5, 1e308, -1e308, True, False]
ODD_VALUES: list[Any] = [
    None,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": {"b": []}},
    [1, "x", {}],
    {"id": []},
    *ODD_NUMBERS,
    *ODD_TEXTS,
]
RAW = [
    b"", b" ", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b"[" * 3000, b'{"a":' * 3000, b"\xff\xfe", b'{"type":"\xff"}',
    b"NaN", b'{"event":NaN}', b'{"type":Infinity}', b'{"event":"media","media":{"payload":"' + b"A" * 60_000,
    b'{"type":"x"}' * 2,
    b"[" + b"[],"  * 20_000 + b"[]]", b'{"event":"mark","mark":{"name":' + b"9" * 5000 + b"}}",
    b'{"type":1e999,"event":1e999}',
]  # fmt: skip

WEBHOOKS = [
    "incoming-call", "call-continue", "call-briefing", "call-status", "recording-status", "sms-status", "incoming-sms"
]  # fmt: skip
FORM_FIELDS = {
    "CallSid": "CA" + "7" * 32,
    "From": "+15557654321",
    "CallStatus": "completed",
    "CallDuration": "7",
    "Direction": "inbound",
    "StirVerstat": "TN-Validation-Passed-A",
    "Digits": "1",
    "DialCallStatus": "no-answer",
    "DialCallDuration": "3",
    "RecordingSid": "RE" + "7" * 32,
    "RecordingStatus": "completed",
    "RecordingDuration": "9",
    "MessageSid": "SM" + "7" * 32,
    "MessageStatus": "delivered",
    "Body": "When are you open?",
    "NumMedia": "0",
}
ODD_FIELDS = [
    *(text for text in ODD_TEXTS if HALF not in text),  # a form is UTF-8, which half an emoji cannot be written in
    "A" * 5000, "sip:+15557654321@10.0.0.1", "+266696687", "²", "-1", "99999999999999", "true", "+1\x00555", "💥" * 90,
]  # fmt: skip

MEDIA = base64.b64encode(b"\xff" * 160).decode()
TWILIO: list[dict[str, Any]] = [
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    {"event": "media", "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": MEDIA}},
    {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "1"}},
    {"event": "mark", "mark": {"name": "0:1"}},
    {"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1", "mediaFormat": {}, "customParameters": {}}},
    {"event": "sparkle", "sparkle": {"of": "the future"}},
]
DEEPGRAM: list[dict[str, Any]] = [
    {"type": "Welcome", "request_id": "r"},
    {"type": "SettingsApplied"},
    {"type": "ConversationText", "role": "user", "content": "When are you open?"},
    {"type": "ConversationText", "role": "assistant", "content": "We open at nine."},
    {"type": "UserStartedSpeaking"},
    {"type": "AgentThinking", "content": ""},
    {"type": "AgentAudioDone"},
    {"type": "FunctionCallRequest", "functions": [{"id": "c1", "name": "look_up", "arguments": "{}", "client_side": True}]},
    {
        "type": "FunctionCallRequest",
        "functions": [
            {"id": "", "name": "first", "arguments": {"reason": f"upset {HALF}"}, "client_side": True},
            {"id": "", "name": "second", "arguments": '{"reason": "\\ud83d"}', "client_side": True},
        ],
    },
    {"type": "FunctionCallCancelled", "functions": [{"id": "c1", "name": "look_up"}]},
    {"type": "FunctionCallResponse", "name": "theirs", "content": "{}"},
    {"type": "LatencyReport", "stt_latency": 0.2, "ttt_token_latency": 0.3, "tts_latency": 0.1, "total_latency": 0.6},
    {"type": "InjectionRefused", "message": "busy"},
    {"type": "Warning", "code": "SLOW_THINK_REQUEST", "description": "x"},
    {"type": "History", "role": "user", "content": "again"},
    {"type": "Sparkle", "of": "the future"},
]


def twilio_messages(seed: int, count: int) -> Iterator[bytes]:
    return _messages(random.Random(seed), count, TWILIO, is_ending=_ends_stream)


def deepgram_messages(seed: int, count: int) -> Iterator[bytes]:
    return _messages(random.Random(seed), count, DEEPGRAM, is_ending=_ends_session)


def twilio_forms(seed: int, count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of a webhook and what is posted to it; none of them begins a call that anybody would answer."""
    chance = random.Random(seed)
    for number in range(count):
        form = {**FORM_FIELDS, "CallSid": f"CA{number:032d}", "MessageSid": f"SM{number:032d}"}
        for _ in range(chance.randint(1, 4)):
            name = chance.choice([*FORM_FIELDS, "To", "AccountSid", "Sparkle"])
            if chance.random() < 0.2:
                form.pop(name, None)
            else:
                form[name] = chance.choice(ODD_FIELDS)
        yield chance.choice(WEBHOOKS), form


def _ends_stream(message: dict[str, Any]) -> bool:
    return message.get("event") == "stop"


def _ends_session(message: dict[str, Any]) -> bool:
    return message.get("type") == "Error"


def _messages(
    chance: random.Random, count: int, kinds: list[dict[str, Any]], *, is_ending: Callable[[dict[str, Any]], bool]
) -> Iterator[bytes]:
    made = 0
    while made < count:
        if chance.random() < 0.1:
            yield chance.choice(RAW)
            made += 1
            continue
        message = deepcopy(chance.choice(kinds))
        for _ in range(chance.randint(0, 3)):
            _damage(chance, message)
        if is_ending(message):
            continue
        data = json.dumps(message).encode()
        # Cut off, or with bytes in it that are not UTF-8.
        if chance.random() < 0.05:
            data = data[: chance.randrange(len(data))]
        elif chance.random() < 0.05:
            at = chance.randrange(len(data))
            data = data[:at] + b"\xed\xa0\xbd" + data[at:]
        yield data
        made += 1


def _damage(chance: random.Random, message: dict[str, Any]) -> None:
    """Change one thing, somewhere."""
    holder: Any = message
    key: Any = ""
    while isinstance(holder, (dict, list)) and holder:
        key = chance.choice(list(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
        if not (isinstance(holder[key], (dict, list)) and holder[key] and chance.random() < 0.7):
            break
        holder = holder[key]
    match chance.randrange(4):
        case 0 if holder:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(ODD_TEXTS)] = deepcopy(chance.choice(ODD_VALUES))
        case _:
            holder[key] = deepcopy(chance.choice(ODD_VALUES))
