"""What every way of sending has in common: a batch goes out, an answer comes back. No models, no settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Part = Literal["subject", "html", "text"]
PARTS: tuple[Part, ...] = ("subject", "html", "text")
Pieces = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Recipient:
    """One copy of a batch: to whom, and what differs from the others'."""

    email: str
    name: str
    pieces: Pieces  # by part: what stands between the batch's statics; one fewer than those
    custom_args: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    reply_to: str = ""  # an address of this very message, where answers are read by us


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What one request asks for: the same text to each recipient, but for the pieces."""

    key: str  # unpredictable, of this request alone
    from_email: str
    from_name: str
    reply_to: str  # the organisation's own; "" for none
    statics: Pieces  # by part; a part that is not there is not sent
    recipients: tuple[Recipient, ...]
    categories: tuple[str, ...] = ()
    track_opens: bool = False
    track_clicks: bool = False

    def part(self, name: str, recipient: Recipient) -> str:
        """Return a part as this recipient reads it; "" when the batch has no such part."""
        return join(self.statics[name], recipient.pieces.get(name, ())) if name in self.statics else ""


def fold(statics: Mapping[str, tuple[str, ...]], rows: Sequence[Pieces]) -> tuple[Pieces, list[Pieces]]:
    """Return statics and rows with less between them: what is the same in every row has become part of the statics."""
    kept_statics: dict[str, tuple[str, ...]] = {}
    kept_rows: list[dict[str, tuple[str, ...]]] = [{} for _ in rows]
    for part, texts in statics.items():
        columns = list(zip(*(row[part] for row in rows), strict=True))
        varying = [at for at, column in enumerate(columns) if any(piece != column[0] for piece in column)]
        folded, kept = [texts[0]], set(varying)
        for at, text in enumerate(texts[1:]):
            if at in kept:
                folded.append(text)
            else:
                folded[-1] += columns[at][0] + text
        kept_statics[part] = tuple(folded)
        for row, kept_row in zip(rows, kept_rows, strict=True):
            kept_row[part] = tuple(row[part][at] for at in varying)
    return kept_statics, list(kept_rows)


def join(statics: tuple[str, ...], pieces: tuple[str, ...]) -> str:
    """Return s0 p0 s1 p1 … sn."""
    return statics[0] + "".join(piece + static for piece, static in zip(pieces, statics[1:], strict=True))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has it."""

    provider_id: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing the provider objects to. `recipient` is a place in the batch, None when it is not about one of them."""

    text: str
    recipient: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider does not have it, and says so."""

    status: int
    faults: tuple[Fault, ...] = ()
    is_retryable: bool = False  # the same request may do later
    is_too_large: bool = False  # a smaller one may do
    is_account: bool = False  # nothing of ours is taken: the key, or the sender
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        return "; ".join(dict.fromkeys(fault.text for fault in self.faults)) or f"The provider answered {self.status}."


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request was begun, and what became of it is not known."""

    text: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing was written to the provider."""

    text: str


Answer = Accepted | Refused | NoAnswer | NotSent


class Provider(Protocol):
    """One account at a provider, or a mail server. Used by one thread at a time."""

    name: str
    reports_events: bool  # tells later what became of each message
    max_recipients: int  # of one request
    max_varying_bytes: int  # of what may differ between the recipients of one request, for each of them
    max_bytes: int  # of one request, whole

    def send(self, batch: Outgoing) -> Answer:
        """Ask once, with time limits of its own. Never raises for what the provider or the network does."""

    def close(self) -> None:
        """Let go of connections."""
