from __future__ import annotations

import pytest

from telephony.twilio.segments import segments_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),  # each counts twice
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 135, 3),
        ("😀" * 35, 1),  # each counts twice here, too
        ("😀" * 36, 2),
        ("Ünder größer", 1),
    ],
)
def test_in_how_many_pieces_a_message_travels(text, expected):
    assert segments_of(text) == expected
