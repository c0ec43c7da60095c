import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.jsontext import JSONTextError, decode

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_a_model_encodes_is_decoded_to_text_that_can_be_encoded(value: object) -> None:
    decoded = decode(json.dumps(value))

    json.dumps(decoded, ensure_ascii=False).encode()


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except JSONTextError:
        pass


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert decode('{"reason": "upset \\ud83d about a bill"}') == {"reason": "upset � about a bill"}
    assert decode(b'{"reason": "\\ud83d\\ude00"}') == {"reason": "😀"}


@pytest.mark.parametrize(
    "text", ["[" * 65 + "]" * 65, "[" * 50_000, '{"a":' * 900 + "1" + "}" * 900, '["\\ud83d",' + "[" * 9_000]
)
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(JSONTextError):
        decode(text)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "nope", "1" + "0" * 5000 + "\\ud83d"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(JSONTextError):
        decode(text)


def test_size_is_bounded() -> None:
    with pytest.raises(JSONTextError, match="longer than 10 bytes"):
        decode('"' + "a" * 20 + '"', max_bytes=10)
