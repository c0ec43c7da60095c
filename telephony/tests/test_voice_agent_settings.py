from dataclasses import replace

import pytest

from sandbox.deepgram.settings import fault_in
from telephony.engines.base import EngineError, ToolSpec
from telephony.engines.voice_agent.settings import build_settings
from telephony.tests.factories import make_plan, said

config = make_plan().engine
TOOL = ToolSpec("end_call", "End the call.", {"type": "object", "properties": {}}, irreversible=True)


@pytest.mark.parametrize("listen", ["flux-general-en", "flux-general-multi", "nova-3"])
@pytest.mark.parametrize("voice", ["aura-2-thalia-en", "flux-kit-en"])
def test_settings_are_what_the_vendor_accepts(listen, voice):
    settings = build_settings(replace(config, listen_model=listen, voice=voice, tools=(TOOL,)))

    assert fault_in(settings) is None
    assert settings["mip_opt_out"] is True


def test_audio_is_telephone_audio_both_ways():
    audio = build_settings(config)["audio"]

    assert audio == {
        "input": {"encoding": "mulaw", "sample_rate": 8000},
        "output": {"encoding": "mulaw", "sample_rate": 8000, "container": "none"},
    }


def test_flux_gets_its_version_and_no_smart_format():
    listen = build_settings(config)["agent"]["listen"]["provider"]

    assert listen == {"type": "deepgram", "version": "v2", "model": "flux-general-en"}


def test_irreversible_tools_are_deferred_to_the_end_of_the_turn():
    reading = ToolSpec("look_up", "Look it up.", {"type": "object"})

    functions = build_settings(replace(config, tools=(TOOL, reading)))["agent"]["think"]["functions"]

    assert [function.get("defer_until_eot") for function in functions] == [True, None]


def test_a_resumed_conversation_has_its_history_and_no_greeting():
    resumed = replace(config, greeting="", history=said(("user", "Hi"), ("assistant", "Hello")))

    agent = build_settings(resumed)["agent"]

    assert "greeting" not in agent
    assert agent["context"]["messages"] == [
        {"type": "History", "role": "user", "content": "Hi"},
        {"type": "History", "role": "assistant", "content": "Hello"},
    ]


def test_a_prompt_beyond_the_limit_is_cut():
    assert len(build_settings(replace(config, prompt="x" * 30_000))["agent"]["think"]["prompt"]) == 25_000


def test_settings_the_vendor_would_refuse_are_refused_here():
    with pytest.raises(EngineError) as caught:
        build_settings(replace(config, temperature="warm"))  # type: ignore[arg-type]

    assert caught.value.code == "INVALID_SETTINGS"
    assert not caught.value.retryable
