"""What a call is likely to cost, before it begins and for each minute it lasts: rates once read are kept for a minute."""

from __future__ import annotations

import threading
import time
from decimal import Decimal

from django.utils import timezone

from billing.services.ledger import price_list
from telephony.costing import CARRIER, MinuteCost, provider_of
from telephony.enums import Direction

KEPT_S = 60.0


_kept: dict[tuple[str, str, str], tuple[float, MinuteCost]] = {}
_lock = threading.Lock()


def minute_cost(*, engine: str, direction: str, currency: str) -> MinuteCost:
    key = (engine, direction, currency)
    with _lock:
        found = _kept.get(key)
    if found is not None and time.monotonic() - found[0] < KEPT_S:
        return found[1]
    cost = _read(engine, direction, currency)
    with _lock:
        _kept[key] = (time.monotonic(), cost)
    return cost


def forget() -> None:
    """Rates have changed in this process."""
    with _lock:
        _kept.clear()


def _read(engine: str, direction: str, currency: str) -> MinuteCost:
    carried = "voice-outbound" if direction == Direction.OUTBOUND else "voice-inbound"
    begun = [] if direction == Direction.BROWSER else [(CARRIER, carried), (CARRIER, "media-stream")]
    spoken = [(provider_of(engine), "voice-agent")]
    prices = price_list((provider, item, "minute") for provider, item in [*begun, *spoken])
    now = timezone.now()

    def total(items: list[tuple[str, str]]) -> Decimal | None:
        found = [prices.find(provider, item, "minute", now) for provider, item in items]
        known = [price.price / price.per for price in found if price is not None and price.currency == currency]
        return sum(known, Decimal(0)) if len(known) == len(items) else None

    return MinuteCost(total(begun), total(spoken))
