"""Whether an organisation may take calls, by what it has subscribed to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from billing.enums import AccountStatus


class Gate(Enum):
    OPEN = "open"
    GRACE = "grace"  # open still, and until when is known
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What is known of a subscription when the question is asked."""

    status: AccountStatus
    trial_ends_at: datetime | None = None
    past_due_since: datetime | None = None
    grace_days: int = 0
    has_subscription: bool = False  # at Stripe; without one a trial is our own


@dataclass(frozen=True, slots=True)
class Access:
    gate: Gate
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.gate is not Gate.CLOSED


def access_of(account: Subscribed | None, now: datetime) -> Access:
    """An organisation nobody has given an account is not billed, and open."""
    if account is None:
        return Access(Gate.OPEN)
    match account.status:
        case AccountStatus.ACTIVE:
            return Access(Gate.OPEN)
        case AccountStatus.TRIALING:
            # Stripe itself ends a trial of its own; its news may be late, and then nobody is cut off.
            if account.has_subscription or account.trial_ends_at is None or now < account.trial_ends_at:
                return Access(Gate.OPEN, account.trial_ends_at)
            return Access(Gate.CLOSED)
        case AccountStatus.PAST_DUE:
            until = (account.past_due_since or now) + timedelta(days=account.grace_days)
            return Access(Gate.GRACE, until) if now < until else Access(Gate.CLOSED)
        case _:
            return Access(Gate.CLOSED)
