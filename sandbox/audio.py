"""Mu-law encoding and silence, as a telephone network has them."""

from __future__ import annotations

from functools import lru_cache

FRAME_BYTES = 160
FRAME_S = 0.02
SILENCE = b"\xff"
SILENT_FRAME = SILENCE * FRAME_BYTES


def _encode(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    return ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)) & 0xFF


@lru_cache(maxsize=1)
def encoding_table() -> bytes:
    """Return the mu-law byte of every 16-bit sample, indexed by the sample as an unsigned number."""
    return bytes(_encode(value if value < 0x8000 else value - 0x10000) for value in range(0x10000))


def _magnitude(byte: int) -> int:
    value = ~byte & 0xFF
    return (((value & 0x0F) << 3) + 0x84 << ((value & 0x70) >> 4)) - 0x84


# 0 for what counts as silence on a line (comfort noise included), 1 for what may be speech.
LOUDNESS = bytes(int(_magnitude(byte) > 400) for byte in range(256))


def is_silent(frame: bytes) -> bool:
    return frame.count(SILENCE) == len(frame)


def loud_share(frame: bytes) -> float:
    return frame.translate(LOUDNESS).count(1) / max(len(frame), 1)


def frames(audio: bytes) -> list[bytes]:
    """Cut audio into 20 ms frames, the last one padded with silence."""
    cut = [audio[start : start + FRAME_BYTES] for start in range(0, len(audio), FRAME_BYTES)]
    if cut and len(cut[-1]) < FRAME_BYTES:
        cut[-1] = cut[-1].ljust(FRAME_BYTES, SILENCE)
    return cut
