import base64
import json
from contextlib import suppress
from dataclasses import asdict

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.twilio import messages
from telephony.twilio.messages import MalformedMessageError, MediaWriter

START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "streamSid": "MZ1",
        "accountSid": "AC1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"call_token": "t_1.secret"},
    },
}


def test_start_gives_sids_format_and_parameters():
    assert messages.decode(messages.parse(json.dumps(START))) == messages.Start(
        "MZ1", "CA1", "AC1", "audio/x-mulaw", 8000, {"call_token": "t_1.secret"}
    )


def test_start_takes_fields_as_optional():
    decoded = messages.decode({"event": "start", "streamSid": "MZ2", "start": {}})

    assert decoded == messages.Start("MZ2", "", "", "audio/x-mulaw", 8000, {})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, messages.Connected("Call", "1.0.0")),
        ({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "1"}}, messages.Dtmf("1")),
        ({"event": "mark", "mark": {"name": "3:7"}}, messages.Mark("3:7")),
        ({"event": "stop", "stop": {"callSid": "CA1"}}, messages.Stop()),
        ({"event": "stop"}, messages.Stop()),
        ({"event": "sparkle", "sparkle": {}}, messages.Unknown("sparkle")),
    ],
)
def test_decode_knows_each_event(message, expected):
    assert messages.decode(message) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"media"', "{}", '{"event": 5}', '{"event": null}', "\x00"])
def test_parse_refuses_what_is_no_message(text):
    with pytest.raises(MalformedMessageError):
        messages.parse(text)


@pytest.mark.parametrize(
    "text", ['{"event":"mark","mark":5}', '{"event":"start","start":[1]}', '{"event":"dtmf","dtmf":"x"}']
)
def test_decode_refuses_bodies_of_the_wrong_kind(text):
    with pytest.raises(MalformedMessageError):
        messages.decode(messages.parse(text))


@pytest.mark.parametrize("media", [None, {}, {"payload": 5}, {"payload": "a"}, "x"])
def test_media_payload_refuses_media_without_audio(media):
    with pytest.raises(MalformedMessageError):
        messages.media_payload({"event": "media", "media": media})


def test_media_payload_returns_the_bytes():
    payload = base64.b64encode(bytes(range(160))).decode()

    assert messages.media_payload({"event": "media", "media": {"payload": payload}}) == bytes(range(160))


def test_writer_writes_what_a_json_encoder_would():
    writer = MediaWriter('MZ"quoted')
    audio = bytes(range(256))

    assert json.loads(writer.media(audio)) == {
        "event": "media",
        "streamSid": 'MZ"quoted',
        "media": {"payload": base64.b64encode(audio).decode()},
    }
    assert json.loads(writer.mark("1:2")) == {"event": "mark", "streamSid": 'MZ"quoted', "mark": {"name": "1:2"}}
    assert json.loads(writer.clear()) == {"event": "clear", "streamSid": 'MZ"quoted'}


# --- what the reference does not say ---------------------------------------------------------------------------------


def test_half_a_character_does_not_cost_the_whole_message():
    text = r'{"event":"start","start":{"streamSid":"MZ1","customParameters":{"who":"\ud83d","call_token":"t"}}}'

    assert messages.decode(messages.parse(text)).parameters == {"who": "�", "call_token": "t"}


@pytest.mark.parametrize(
    "change",
    [
        {"mediaFormat": []},
        {"mediaFormat": "x"},
        {"mediaFormat": {"sampleRate": []}},
        {"mediaFormat": {"sampleRate": float("inf")}},
        {"customParameters": ["call_token"]},
        {"customParameters": 7},
    ],
)
def test_a_start_with_parts_of_the_wrong_kind_is_refused(change):
    with pytest.raises(MalformedMessageError):
        messages.decode({**START, "start": {**START["start"], **change}})


def test_fields_of_the_wrong_kind_count_as_absent():
    start = {
        "streamSid": ["MZ1"],
        "callSid": {"a": 1},
        "customParameters": {"call_token": None, "n": 7, "long": "x" * 1000},
    }

    assert messages.decode({"event": "start", "start": start}) == messages.Start(
        "", "", "", "audio/x-mulaw", 8000, {"call_token": "", "n": "7", "long": ""}
    )


@pytest.mark.parametrize("size", [0, messages.MAX_AUDIO_BYTES + 1])
def test_media_payload_refuses_nothing_and_too_much(size):
    payload = base64.b64encode(bytes(size)).decode()

    with pytest.raises(MalformedMessageError):
        messages.media_payload({"event": "media", "media": {"payload": payload}})


@given(st.sampled_from([*messages._DECODERS, "media", "sparkle"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["streamSid", "mediaFormat", "customParameters", "sampleRate", "name", "digit", "payload"]),
        inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_no_message_raises_anything_but_malformed(event, body):
    with suppress(MalformedMessageError):
        data = messages.parse(json.dumps({"event": event, event: body}))
        if event == "media":
            messages.media_payload(data)
        else:
            orjson.dumps(asdict(messages.decode(data)))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(data):
    with suppress(MalformedMessageError):
        messages.decode(messages.parse(data))
