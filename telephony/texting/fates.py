"""What became of a text message, from whatever the carrier tells, in any order, late, and more than once. Pure.

Each state has a rank, and the highest one told of is the message's: `sent` after `delivered` changes nothing. Source:
Twilio, "Track the message status of outbound messages", read 2026-11-20.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.texting.enums import State

# The carrier's words. Incoming ones (`receiving`, `received`) are no fate of a message of ours.
OF_CARRIER = {
    "accepted": State.QUEUED,
    "scheduled": State.QUEUED,
    "queued": State.QUEUED,
    "sending": State.QUEUED,
    "sent": State.SENT,
    "partially_delivered": State.SENT,
    "canceled": State.FAILED,
    "failed": State.FAILED,
    "undelivered": State.UNDELIVERED,
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
}
RANK = {
    State.WAITING: 0,
    State.BLOCKED: 1,
    State.SENDING: 2,
    State.UNCERTAIN: 3,
    State.QUEUED: 4,
    State.SENT: 5,
    State.FAILED: 6,
    State.UNDELIVERED: 7,
    State.DELIVERED: 8,
    State.RECEIVED: 9,
}
# States that only the carrier's word brings about: the message did reach it.
REACHED = (State.QUEUED, State.SENT, State.UNDELIVERED, State.DELIVERED)
_WITH_REASON = (State.FAILED, State.UNDELIVERED)


@dataclass(frozen=True, slots=True)
class Fate:
    state: State
    error_code: int | None = None  # of a message that failed or was not delivered


def fate_of(status: str, error_code: str = "") -> Fate | None:
    """Return what a status callback says; None for a word that is none of ours."""
    state = OF_CARRIER.get(status)
    if state is None:
        return None
    is_code = error_code.isascii() and error_code.isdigit() and len(error_code) < 8 and int(error_code) > 0
    return Fate(state, int(error_code) if is_code and state in _WITH_REASON else None)


def latest(*fates: Fate) -> Fate:
    """Return the fate that stands, the same for every order of what is told."""
    return max(fates, key=lambda fate: (RANK[fate.state], fate.error_code or 0))
