"""The provider's messages, as its reference writes them."""

import json
from contextlib import suppress
from dataclasses import asdict

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.engines import base as ev
from telephony.engines.voice_agent import wire


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "Welcome", "request_id": "r"}, ev.Welcome("r")),
        ({"type": "History", "role": "user", "content": "again"}, None),
        ({"type": "ThinkUpdated"}, None),
        ({"type": "SettingsApplied"}, ev.Ready()),
        ({"type": "ConversationText", "role": "user", "content": " At eight? "}, ev.Transcript("user", "At eight?")),
        ({"type": "ConversationText", "role": "assistant", "content": "Yes."}, ev.Transcript("assistant", "Yes.")),
        ({"type": "ConversationText", "role": "assistant", "content": ""}, None),
        ({"type": "ConversationText", "role": "assistant"}, None),
        ({"type": "UserStartedSpeaking"}, ev.UserStartedSpeaking()),
        ({"type": "AgentThinking", "content": ""}, ev.AgentThinking()),
        ({"type": "AgentStartedSpeaking", "total_latency": 1.2}, ev.AgentThinking()),
        ({"type": "AgentAudioDone"}, ev.AgentDone()),
        ({"type": "InjectionRefused", "message": "busy"}, ev.SayRefused()),
        ({"type": "Warning", "code": "PROMPT_TOO_LONG", "description": "x"}, ev.Notice("PROMPT_TOO_LONG", "x")),
        ({"type": "FunctionCallCancelled", "functions": [{"id": "c1", "name": "f"}]}, ev.ToolsCancelled(("c1",))),
        ({"type": "Sparkle", "x": 1}, ev.UnknownEvent("Sparkle")),
        ({}, ev.UnknownEvent("")),
    ],
)
def test_decode(message, expected):
    assert wire.decode(json.dumps(message)) == expected


def test_every_client_side_call_of_a_request_is_decoded_and_no_other():
    message = {
        "type": "FunctionCallRequest",
        "functions": [
            {"id": "c1", "name": "find_slot", "arguments": '{"time":"20:00"}', "client_side": True},
            {"id": "c2", "name": "log", "arguments": "{}", "client_side": False},
            {"id": "c3", "name": "end_call", "client_side": True},
        ],
    }

    assert wire.decode(json.dumps(message)) == ev.ToolRequests(
        (ev.ToolRequest("c1", "find_slot", '{"time":"20:00"}'), ev.ToolRequest("c3", "end_call", "{}"))
    )


def test_a_request_for_the_providers_own_functions_needs_nothing():
    message = {"type": "FunctionCallRequest", "functions": [{"id": "c2", "name": "log", "client_side": False}]}

    assert wire.decode(json.dumps(message)) is None


def test_latency_is_in_milliseconds_and_only_what_is_reported():
    message = {
        "type": "LatencyReport",
        "stt_latency": 0.21,
        "ttt_token_latency": 0.38,
        "tts_latency": 0.19,
        "total_latency": 0.9,
    }

    assert wire.decode(json.dumps(message)) == ev.Latency(
        {"listen": 210, "think": 380, "speak": 190, "provider_total": 900}
    )
    assert wire.decode('{"type": "LatencyReport"}') == ev.Latency({})


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("INTERNAL_SERVER_ERROR", True),
        ("SERVER_GOING_AWAY", True),
        ("MAXIMUM_SESSION_LENGTH_REACHED", True),
        ("ASR_CONNECTION_CLOSED", True),
        ("INVALID_SETTINGS", False),
        ("UNPARSABLE_CLIENT_MESSAGE", False),
        ("INVALID_AGENT_ID", False),
        ("USER_AUDIO_FORMAT", False),
        ("SOMETHING_NEW", False),
    ],
)
def test_errors_say_whether_another_session_can_help(code, retryable):
    message = json.dumps({"type": "Error", "code": code, "description": "d"})

    assert wire.decode(message) == ev.Failed(code, "d", retryable)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "7"])
def test_what_is_no_message_raises(text):
    with pytest.raises(ValueError):
        wire.decode(text)


def test_what_we_send_is_spelled_as_the_provider_spells_it():
    request = ev.ToolRequest("c1", "f", "{}")

    assert json.loads(wire.inject_agent_message("Hi", "queue")) == {
        "type": "InjectAgentMessage",
        "message": "Hi",
        "behavior": "queue",
    }
    assert json.loads(wire.inject_user_message("Hi")) == {"type": "InjectUserMessage", "content": "Hi"}
    assert json.loads(wire.function_call_response(request, '{"ok":true}')) == {
        "type": "FunctionCallResponse",
        "id": "c1",
        "name": "f",
        "content": '{"ok":true}',
    }
    assert json.loads(wire.keep_alive()) == {"type": "KeepAlive"}


# --- what the reference does not say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            r'{"type":"ConversationText","role":"user","content":"I am upset \ud83d about a bill"}',
            ev.Transcript("user", "I am upset � about a bill"),
        ),
        (r'{"type":"ConversationText","role":"user","content":"\ud83d\ude00 \u0000\u000b"}', ev.Transcript("user", "😀")),
        ('{"type":"ConversationText","role":"user","content":["x"]}', None),
        ('{"type":"Warning","code":7,"description":{}}', ev.Notice("7", "")),
        ('{"type":"FunctionCallRequest","functions":7}', None),
        ('{"type":"FunctionCallRequest","functions":[7,null,[]]}', None),
        ('{"type":"FunctionCallCancelled"}', ev.ToolsCancelled(())),
        ('{"type":"LatencyReport","stt_latency":true,"tts_latency":-1,"total_latency":1e300}', ev.Latency({})),
        ('{"type":["Error"]}', ev.UnknownEvent("")),
        (rb'{"type":"Warning","code":"' + b"\xed\xa0\xbd" + b'"}', ev.Notice("���", "")),
    ],
)
def test_odd_messages_are_read_as_far_as_they_make_sense(text, expected):
    assert wire.decode(text) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a":1}', '{"a":1}'),
        (r'"{\"reason\":\"\\ud83d\"}"', r'{"reason":"\ud83d"}'),  # whoever parses it makes it valid
        ('"\\ud83d"', "�"),
        ('{"reason":"upset \\ud83d"}', '{"reason":"upset �"}'),
        ("null", "{}"),
        ('""', "{}"),
        ("[1]", "[1]"),
        ('{"a":' * 900 + "1" + "}" * 900, wire.UNREADABLE),
    ],
    ids=["object", "escape", "half", "half in object", "null", "empty", "list", "deep"],
)
def test_arguments_are_json_text_however_they_come(arguments, expected):
    message = f'{{"type":"FunctionCallRequest","functions":[{{"id":5,"name":"f","arguments":{arguments}}}]}}'

    assert wire.decode(message) == ev.ToolRequests((ev.ToolRequest("5", "f", expected),))


def test_a_message_too_long_to_be_one_is_refused_before_it_is_parsed():
    with pytest.raises(ValueError, match="too long"):
        wire.decode(b'{"type":"Warning","x":"' + b"x" * wire.MAX_MESSAGE_BYTES + b'"}')


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["role", "content", "functions", "code", "description", "request_id", "id", "name", "arguments", "stt_latency"]


@given(st.sampled_from([*wire._DECODERS, "Sparkle"]), st.dictionaries(st.sampled_from(FIELDS), ANY_JSON))
def test_no_message_raises_anything_but_value_error_and_all_text_of_it_can_be_sent_on(kind, fields):
    try:
        event = wire.decode(json.dumps({**fields, "type": kind}))
    except ValueError:
        return

    orjson.dumps(asdict(event) if event is not None else None)  # refuses half a character


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_value_error(data):
    with suppress(ValueError):
        wire.decode(data)


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())), ANY_JSON)
def test_whatever_is_said_to_the_provider_is_json_in_utf_8(text, name, value):
    request = ev.ToolRequest(text, name, "{}")

    for data in (
        wire.function_call_response(request, text),
        wire.inject_agent_message(text, "queue"),
        wire.inject_user_message(text),
        wire.update_think({"prompt": text, "functions": [value]}),
    ):
        json.loads(data.decode())


def test_an_answer_goes_back_under_the_id_and_the_name_it_was_asked_under():
    data = wire.function_call_response(ev.ToolRequest("", "first", "{}", key=7), "half \ud83d")

    assert json.loads(data) == {"type": "FunctionCallResponse", "id": "", "name": "first", "content": "half �"}
