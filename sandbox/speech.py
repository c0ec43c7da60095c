"""Audible speech from text: espeak-ng, out of a wheel, as mu-law at 8 kHz."""

from __future__ import annotations

import array
import ctypes
import threading
from functools import lru_cache

import espeakng_loader

from sandbox.audio import SILENCE, encoding_table

SYNCHRONOUS = 2
CHARS_UTF8 = 1
PARAMETER_RATE = 1
WORDS_PER_MINUTE = 185
OUTPUT_HZ = 8000
LONGEST_PAUSE = 1600  # bytes of pure silence inside one utterance: 200 ms, well below what ends a turn

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Espeak:
    """The library keeps one voice and one callback for the whole process: one thread at a time."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate_hz = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        if self._rate_hz <= 0:
            raise RuntimeError("espeak-ng could not be initialised")
        self._samples = array.array("h")
        self._callback = _Callback(self._take)  # kept: the library holds only a pointer
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_SetParameter(PARAMETER_RATE, WORDS_PER_MINUTE, 0)
        self._lock = threading.Lock()

    def _take(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:  # type: ignore[type-arg]
        if count and wave:
            self._samples.frombytes(ctypes.string_at(wave, count * 2))
        return 0

    def pcm(self, text: str, voice: str) -> tuple[array.array[int], int]:
        with self._lock:
            self._samples = array.array("h")
            self._library.espeak_SetVoiceByName(voice.encode())
            encoded = text.encode() + b"\0"
            self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, CHARS_UTF8, None, None)
            return self._samples, self._rate_hz


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


@lru_cache(maxsize=500)
def speak(text: str, voice: str = "en-us") -> bytes:
    """Return an utterance without silence at its ends: mu-law, 8 kHz. Takes some 50 ms for a sentence the first time."""
    samples, rate_hz = _espeak().pcm(text, voice)
    return _shorten_pauses(_to_mulaw(samples, rate_hz).strip(SILENCE))


def _to_mulaw(samples: array.array[int], rate_hz: int) -> bytes:
    """Resample by averaging three neighbours, which is filter enough for a telephone line."""
    table = encoding_table()
    step = rate_hz / OUTPUT_HZ
    count = max(int((len(samples) - 2) / step), 0)
    out = bytearray(count)
    position = 1.0
    for index in range(count):
        at = int(position)
        out[index] = table[(samples[at - 1] + samples[at] + samples[at + 1]) // 3 & 0xFFFF]
        position += step
    return bytes(out)


def _shorten_pauses(audio: bytes) -> bytes:
    long_pause, short_pause = SILENCE * (LONGEST_PAUSE * 2), SILENCE * LONGEST_PAUSE
    while long_pause in audio:
        audio = audio.replace(long_pause, short_pause)
    return audio
