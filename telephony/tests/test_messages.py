import base64
import json

import pytest

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
