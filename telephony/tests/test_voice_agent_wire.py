"""The provider's messages, as its reference writes them."""

import json

import pytest

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
