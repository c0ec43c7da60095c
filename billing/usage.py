"""One thing that was used and may cost something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.enums import Kind, Leg, Source, Unit


@dataclass(frozen=True, slots=True)
class Usage:
    """`key` names this very use within its organisation: written twice, it is there once. `quantity` None: nobody said."""

    key: str
    provider: str
    item: str
    unit: Unit
    quantity: Decimal | None
    leg: Leg
    source: Source
    at: datetime
    kind: Kind
    subject: str = ""
    line_id: int | None = None
    agent_id: int | None = None
    contact_id: int | None = None
    campaign: str = ""
