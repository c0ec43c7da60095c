"""In how many pieces a text message travels (3GPP TS 23.038): 160 characters of the usual alphabet, 70 of any other."""

from __future__ import annotations

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_TWICE = frozenset("^{}\\[~]|€")  # sent as two


def segments_of(text: str) -> int:
    if set(text) <= _BASIC | _TWICE:
        size, alone, joined = len(text) + sum(letter in _TWICE for letter in text), 160, 153
    else:
        size, alone, joined = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if size <= alone else -(-size // joined)
