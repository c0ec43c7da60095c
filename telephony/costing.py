"""What a call has used so far, and how much, as the ledger takes it. No I/O.

The carrier counts begun minutes of each leg; the voice agent counts seconds of each session. The same function answers
for a call that runs, with `now` as its end, and for one that is over: so the live page and the ledger agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.enums import Kind, Leg, Source, Unit
from billing.money import PLACES
from billing.usage import Usage
from telephony.enums import Direction

CARRIER = "twilio"
_AGENT_PROVIDERS = {"voice_agent": "deepgram"}
_SIXTH = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class StreamSpan:
    """One media stream. `ended_at` is None while it runs, or where its end was lost with its worker."""

    number: int
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """`duration_s` is None until the carrier has told it or we have guessed it; `dialled_s` are legs to people."""

    call_id: str
    direction: str
    engine: str
    started_at: datetime
    ended_at: datetime | None
    duration_s: int | None
    is_measured: bool
    streams: Sequence[StreamSpan]
    dialled_s: Sequence[int]
    recorded_s: Sequence[int]
    line_id: int | None = None
    agent_id: int | None = None
    contact_id: int | None = None


def provider_of(engine: str) -> str:
    return _AGENT_PROVIDERS.get(engine, engine)


def begun_minutes(seconds: float) -> Decimal:
    """Return minutes as carriers count them: each one that began; none for a call that was never connected."""
    return Decimal(-(-int(seconds) // 60)) if seconds > 0 else Decimal(0)


def exact_minutes(seconds: float) -> Decimal:
    return (Decimal(round(seconds * 1000)) / 60_000).quantize(_SIXTH)


@dataclass(frozen=True, slots=True)
class MinuteCost:
    """For one minute: what is counted by begun minutes, and what by seconds. None: no rate is known for a part of it."""

    by_begun: Decimal | None
    by_second: Decimal | None

    def of(self, seconds: float) -> Decimal | None:
        if self.by_begun is None or self.by_second is None:
            return None
        exact = Decimal(round(seconds * 1000)) / 60_000
        return (self.by_begun * begun_minutes(seconds) + self.by_second * exact).quantize(PLACES)


def usages_of(call: CallFacts, now: datetime) -> list[Usage]:
    """Return everything a call has used, in the order of its legs."""
    return [*_carried(call, now), *_streamed(call, now), *_dialled(call), *_recorded(call)]


def _carried(call: CallFacts, now: datetime) -> Iterable[Usage]:
    if call.direction == Direction.BROWSER:
        return
    item = "voice-outbound" if call.direction == Direction.OUTBOUND else "voice-inbound"
    length_s = call.duration_s
    if length_s is None:
        length_s = max(0, round(((call.ended_at or now) - call.started_at).total_seconds()))
    minutes = begun_minutes(length_s)
    if minutes:
        source = Source.CARRIER if call.is_measured else Source.MEASURED
        yield _usage(call, "carrier", CARRIER, item, minutes, Leg.CARRIER, source)


def _streamed(call: CallFacts, now: datetime) -> Iterable[Usage]:
    # The end of one without an end: where the next begins, or the call ends.
    following = [*(span.started_at for span in call.streams[1:]), call.ended_at or now]
    for span, next_at in zip(call.streams, following, strict=False):
        seconds = max(0.0, ((span.ended_at or next_at) - span.started_at).total_seconds())
        if not seconds:
            continue
        if call.direction != Direction.BROWSER:
            minutes = begun_minutes(seconds)
            yield _usage(call, f"stream:{span.number}", CARRIER, "media-stream", minutes, Leg.CARRIER, Source.MEASURED)
        provider = provider_of(call.engine)
        minutes = exact_minutes(seconds)
        yield _usage(call, f"agent:{span.number}", provider, "voice-agent", minutes, Leg.AGENT, Source.MEASURED)


def _dialled(call: CallFacts) -> Iterable[Usage]:
    for number, seconds in enumerate(call.dialled_s, 1):
        if minutes := begun_minutes(seconds):
            yield _usage(call, f"dial:{number}", CARRIER, "voice-outbound", minutes, Leg.CARRIER, Source.CARRIER)


def _recorded(call: CallFacts) -> Iterable[Usage]:
    for number, seconds in enumerate(call.recorded_s, 1):
        if minutes := begun_minutes(seconds):
            yield _usage(call, f"recording:{number}", CARRIER, "recording", minutes, Leg.CARRIER, Source.CARRIER)


def _usage(call: CallFacts, part: str, provider: str, item: str, minutes: Decimal, leg: Leg, source: Source) -> Usage:
    return Usage(
        key=f"call:{call.call_id}:{part}",
        provider=provider,
        item=item,
        unit=Unit.MINUTE,
        quantity=minutes,
        leg=leg,
        source=source,
        at=call.started_at,
        kind=Kind.CALL,
        subject=call.call_id,
        line_id=call.line_id,
        agent_id=call.agent_id,
        contact_id=call.contact_id,
    )
