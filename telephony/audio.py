"""Telephone audio: mu-law, 8 kHz, mono, one byte a sample; 20 ms are 160 bytes."""

SAMPLE_RATE_HZ = 8000
FRAME_MS = 20
FRAME_BYTES = SAMPLE_RATE_HZ * FRAME_MS // 1000
SILENCE = b"\xff"  # +0


def duration_s(audio: bytes) -> float:
    return len(audio) / SAMPLE_RATE_HZ
