"""What the caller has heard of the agent, is hearing, and shall not hear any more.

The carrier buffers what we send and returns a mark when playback reaches it, or at once when the buffer is cleared. A
mark's name carries the generation it was sent in; `clear` starts a new one, so old marks say nothing. `until`
estimates the playhead for a carrier that never returns a mark.

Audio of an interrupted turn may still be on its way from the provider: it is dropped until something shows that a new
turn has begun.
"""

from __future__ import annotations

from telephony.audio import SAMPLE_RATE_HZ
from telephony.twilio.messages import MediaWriter

STALE_AUDIO_S = 2.0  # after an interruption, audio this late cannot belong to the interrupted turn any more
STALE_TEXT_S = 0.5
MARK_GRACE_S = 1.5  # beyond the estimated end of playback, for a mark that does not come


class Playback:
    def __init__(self, stream_sid: str, *, now: float) -> None:
        self.until = now  # monotonic: when all that was sent will have been played
        self.is_mid_turn = False  # the agent has begun to speak and has not said that it is done
        self._writer = MediaWriter(stream_sid)
        self._generation = 0
        self._marks_out = 0
        self._marks_sent = 0
        self._muted_at: float | None = None

    @property
    def is_playing(self) -> bool:
        return self._marks_out > 0 or self.is_mid_turn

    def is_audible(self, now: float) -> bool:
        return self.is_playing and self.until > now

    def is_over(self, now: float) -> bool:
        """The caller hears nothing, and nothing is on its way."""
        return not self.is_playing and self.until <= now

    @property
    def is_all_played(self) -> bool:
        """Every mark came back."""
        return not self._marks_out

    def over_at(self) -> float:
        """Return when playback counts as over even if its mark does not come."""
        return self.until + (MARK_GRACE_S if self._marks_out else 0)

    # --- audio: one call a frame ---------------------------------------------------------------------------------

    def is_stale(self, now: float) -> bool:
        """Tell whether audio that comes now belongs to a turn that was interrupted."""
        if self._muted_at is None:
            return False
        if now - self._muted_at < STALE_AUDIO_S:
            return True
        self._muted_at = None
        return False

    def add(self, audio: bytes, now: float) -> str:
        """Return the wire text that plays audio."""
        until = self.until
        self.until = (until if until > now else now) + len(audio) / SAMPLE_RATE_HZ
        return self._writer.media(audio)

    # --- marks ---------------------------------------------------------------------------------------------------

    def mark(self) -> str:
        """Return the wire text of a mark behind all that was sent."""
        self._marks_sent += 1
        self._marks_out += 1
        return self._writer.mark(f"{self._generation}:{self._marks_sent}")

    def take_mark(self, name: str, now: float) -> bool:
        """Take a mark that came back; tell whether it says that everything sent has been played."""
        generation, _, _ = name.partition(":")
        if generation != str(self._generation) or not self._marks_out:
            return False  # played or cleared in an earlier generation: says nothing about now
        self._marks_out -= 1
        if self._marks_out:
            return False
        if not self.is_mid_turn:
            self.until = min(self.until, now)
        return True

    def clear(self, now: float) -> str:
        """Return the wire text that empties the carrier's buffer; the caller hears nothing more of what was sent."""
        self._generation += 1
        self._marks_out = 0
        self.until = now
        return self._writer.clear()

    # --- interrupted turns ---------------------------------------------------------------------------------------

    @property
    def is_muted(self) -> bool:
        return self._muted_at is not None

    def mute(self, now: float) -> None:
        """The agent was interrupted: what still comes of its turn is dropped."""
        self._muted_at = now
        self.is_mid_turn = False

    def unmute(self) -> None:
        """A new turn has begun."""
        self._muted_at = None

    def text_came(self, now: float) -> None:
        """The agent's words come at once: some time after an interruption they belong to a new turn."""
        if self._muted_at is not None and now - self._muted_at >= STALE_TEXT_S:
            self._muted_at = None
