"""How much of the agent's sentences a caller heard before they interrupted it.

Nobody tells us where in the audio a sentence ends: it is estimated by the sentences' length, over all the audio that was
sent for them. Times are monotonic, in seconds.
"""

from __future__ import annotations


class Heard:
    """The sentences that are being played, or will be: from the last silence of the agent's on."""

    def __init__(self) -> None:
        self._texts: list[tuple[int, int]] = []  # sequence and length
        self._began_at: float | None = None  # their audio, on the caller's side

    def forget(self) -> None:
        """The agent is silent, and all was heard or told."""
        self._texts.clear()
        self._began_at = None

    def said(self, sequence: int, text: str) -> None:
        self._texts.append((sequence, max(len(text), 1)))

    @property
    def has_audio(self) -> bool:
        return self._began_at is not None

    def audio_began(self, at: float) -> None:
        if self._began_at is None:
            self._began_at = at

    def interrupted(self, now: float, until: float) -> list[tuple[int, float]]:
        """Return the sentences not heard to their end, each with the share that was, and forget them all.

        `until` is when all the audio that was sent would have been played.
        """
        began_at = now if self._began_at is None else self._began_at
        share = (now - began_at) / (until - began_at) if until > began_at else 0.0
        heard = max(share, 0.0) * sum(length for _, length in self._texts)
        found = []
        for sequence, length in self._texts:
            part = round(min(max(heard / length, 0.0), 1.0), 2)
            if part < 1:
                found.append((sequence, part))
            heard -= length
        self.forget()
        return found
