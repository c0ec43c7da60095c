"""What became of a mailing. One pass over its messages for every figure; nothing is counted row by row in Python.

Where the way of sending reports no events, what they would have told is None: unknown, not zero.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, F, Func, Min, Q, Sum, Value
from django.db.models.functions import TruncHour
from django.utils import timezone

from crm.email.enums import OPEN_STATES, BatchState, EventKind, MailingState, MessageState, SendWhen
from crm.email.models import EmailEvent, EmailMessage, Mailing, SendBatch
from crm.selectors.dashboard import Bar

SMTP = "smtp"  # what SendBatch.provider says of the way of sending that never tells what became of a message
SPEED_WINDOW = timedelta(seconds=60)
SAMPLE = 1_000  # recipients looked at for the domains: their addresses are encrypted and cannot be counted by the database
CLICKERS = 500  # recipients whose clicks are looked at for the links, for the same reason
TOP = 8
HOURS = 48

BUSY = (MailingState.PREPARING, MailingState.SENDING)
_BAD = (MessageState.BOUNCED, MessageState.BLOCKED, MessageState.DROPPED, MessageState.FAILED)


@dataclass(frozen=True, slots=True)
class Figures:
    """How many messages of a mailing are, or did, what. None is unknown."""

    states: Mapping[str, int]
    opened: int | None
    clicked: int | None
    bounced: int | None
    spam: int | None
    unsubscribed: int
    replied: int | None
    has_events: bool
    first_sent_at: datetime | None  # when the first of them was handed over

    def count(self, *states: str) -> int:
        return sum(self.states.get(state, 0) for state in states)

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def skipped(self) -> int:
        return self.count(MessageState.SKIPPED)

    @property
    def recipients(self) -> int:
        return self.total - self.skipped

    @property
    def waiting(self) -> int:
        return self.count(*OPEN_STATES)

    @property
    def canceled(self) -> int:
        return self.count(MessageState.CANCELED)

    @property
    def failed(self) -> int:
        return self.count(MessageState.FAILED)

    @property
    def unanswered(self) -> int:
        """Perhaps handed over, perhaps not."""
        return self.count(MessageState.UNKNOWN)

    @property
    def finished(self) -> int:
        """What needs no more work from us."""
        return self.recipients - self.waiting

    @property
    def handed_over(self) -> int:
        return self.finished - self.canceled - self.failed

    @property
    def delivered(self) -> int | None:
        return self.count(MessageState.DELIVERED) if self.has_events else None

    @property
    def undelivered(self) -> int | None:
        return self.count(MessageState.BLOCKED, MessageState.DROPPED) if self.has_events else None

    @property
    def without_news(self) -> int:
        """Handed over, and not heard of since; all of them where nothing is ever heard."""
        known = (MessageState.SENT, MessageState.UNKNOWN, MessageState.DEFERRED)
        return self.count(*known) if self.has_events else self.handed_over

    def share(self, count: int | None, *, of: int | None) -> float | None:
        return None if count is None or not of else count / of

    @property
    def delivered_share(self) -> float | None:
        return self.share(self.delivered, of=self.handed_over)

    @property
    def opened_share(self) -> float | None:
        return self.share(self.opened, of=self.delivered)

    @property
    def clicked_share(self) -> float | None:
        return self.share(self.clicked, of=self.delivered)

    @property
    def bounced_share(self) -> float | None:
        return self.share(self.bounced, of=self.handed_over)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a mailing is. `per_minute` and `ends_at` are measured, or None."""

    states: Mapping[str, int]
    done: int
    total: int | None  # None while it is being prepared: then nobody knows yet
    prepared: int
    per_minute: int | None
    ends_at: datetime | None

    @property
    def percent(self) -> int | None:
        return 100 * self.done // self.total if self.total else None

    @property
    def shown(self) -> list[tuple[MessageState, int]]:
        return [(state, self.states[state]) for state in MessageState if self.states.get(state)]


@dataclass(frozen=True, slots=True)
class Hour:
    at: datetime
    opened: int
    clicked: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """Bars counted among `seen` of all; `is_sample` when there are more than were looked at."""

    bars: Sequence[Bar]
    seen: int
    is_sample: bool


@dataclass(frozen=True, slots=True)
class Report:
    figures: Figures
    hours: Sequence[Hour]
    bounces: Sequence[Bar]
    links: Sampled
    domains: Sampled


def counts(mailing: Mailing) -> dict[str, int]:
    """Messages by state: read from the index alone."""
    rows = EmailMessage.objects.filter(mailing=mailing).order_by().values_list("state").annotate(count=Count("pk"))
    return dict(rows)


def has_events(mailing: Mailing) -> bool:
    """Tell whether whoever carries this mailing's messages tells what becomes of them, and is heard."""
    batches = SendBatch.objects.filter(mailing=mailing).order_by()
    if batches.exists() and not batches.exclude(provider=SMTP).exists():
        return False
    # Without the key that news is signed with, none is believed; what came before is.
    heard = EmailMessage.objects.filter(mailing=mailing, delivered_at__isnull=False)
    return bool(settings.ENV.sendgrid_webhook_public_key) or heard.exists()


def hears_replies() -> bool:
    """Tell whether answers come to this installation."""
    return bool(settings.ENV.inbound_email_host)


def progress(mailing: Mailing, *, now: datetime | None = None) -> Progress:
    now = now or timezone.now()
    states = counts(mailing)
    total = sum(states.values()) - states.get(MessageState.SKIPPED, 0)
    waiting = sum(states.get(state, 0) for state in OPEN_STATES)
    per_minute = _speed(mailing, now) if mailing.state == MailingState.SENDING else None
    # In each recipient's morning what waits does not wait for us, so our speed says nothing about the end.
    ends_at = None
    if per_minute and waiting and mailing.when != SendWhen.MORNING:
        ends_at = now + timedelta(minutes=waiting / per_minute)
    known_total = total if mailing.prepared_at else None
    return Progress(states, total - waiting, known_total, sum(states.values()), per_minute, ends_at)


def _speed(mailing: Mailing, now: datetime) -> int | None:
    """Messages a minute that the provider took within the last minute, from the requests made: few rows."""
    since = now - SPEED_WINDOW
    settled = SendBatch.objects.filter(
        mailing=mailing, state=BatchState.ACCEPTED, settled_at__gt=since, settled_at__lte=now
    )
    taken: int | None = settled.order_by().aggregate(taken=Sum("size"))["taken"]
    if not taken:
        return None
    begun = mailing.started_at or since
    seconds = max((now - max(since, begun)).total_seconds(), 1.0)
    return max(round(taken * 60 / seconds), 1)


# --- the whole report ------------------------------------------------------------------------------------------------


def figures(mailing: Mailing) -> Figures:
    return _folded(mailing)[0]


def cached_figures(mailings: Sequence[Mailing], *, now: datetime | None = None) -> dict[int, Figures]:
    """Figures for a list. Those of what is over change seldom and are kept for a while; they may be that old."""
    now = now or timezone.now()
    keys = {f"mailing-figures:{mailing.pk}:{mailing.state}": mailing for mailing in mailings if mailing.started_at}
    found = cache.get_many(keys)
    for key, mailing in keys.items():
        if key not in found:
            found[key] = figures(mailing)
            cache.set(key, found[key], timeout=_kept_s(mailing, now))
    return {mailing.pk: found[key] for key, mailing in keys.items()}


def _kept_s(mailing: Mailing, now: datetime) -> int:
    if mailing.finished_at is None:
        return 3
    age = now - mailing.finished_at
    return 60 if age < timedelta(days=1) else 900 if age < timedelta(days=7) else 86_400


def report(mailing: Mailing) -> Report:
    found, opened, clicked = _folded(mailing)
    hours = _hours(found.first_sent_at, opened, clicked)
    return Report(found, hours, _bounces(mailing), links(mailing), recipient_domains(mailing))


Hours = Mapping[datetime, int]


def _folded(mailing: Mailing) -> tuple[Figures, Hours, Hours]:
    """Read the messages once, grouped by everything the figures need: some hundred rows, however many recipients."""
    rows = (
        EmailMessage.objects.filter(mailing=mailing)
        .order_by()
        .annotate(opened_in=TruncHour("opened_at"), clicked_in=TruncHour("clicked_at"))
        .values_list("state", "opened_in", "clicked_in")
        .annotate(
            count=Count("pk"),
            bounced=Count("pk", filter=Q(bounced_at__isnull=False) | Q(state=MessageState.BOUNCED)),
            spam=Count("spam_at"),
            unsubscribed=Count("unsubscribed_at"),
            replied=Count("replied_at"),
            first=Min("sent_at"),
        )
    )
    states: Counter[str] = Counter()
    opened: Counter[datetime] = Counter()
    clicked: Counter[datetime] = Counter()
    sums: Counter[str] = Counter()
    sent: list[datetime] = []
    for state, opened_in, clicked_in, count, bounced, spam, unsubscribed, replied, first in rows:
        states[state] += count
        sums.update(bounced=bounced, spam=spam, unsubscribed=unsubscribed, replied=replied)
        sent += [first] if first else []
        if opened_in:
            opened[opened_in] += count
        if clicked_in:
            clicked[clicked_in] += count
    sums["opened"], sums["clicked"] = opened.total(), clicked.total()
    return _figures(mailing, states, sums, min(sent, default=None)), opened, clicked


def _figures(mailing: Mailing, states: Mapping[str, int], sums: Mapping[str, int], first: datetime | None) -> Figures:
    told, opened, clicked, replied = has_events(mailing), sums["opened"], sums["clicked"], sums["replied"]
    return Figures(
        states=dict(states),
        opened=opened if opened or (told and mailing.track_opens) else None,
        clicked=clicked if clicked or (told and mailing.track_clicks) else None,
        bounced=sums["bounced"] if told else None,
        spam=sums["spam"] if told else None,
        unsubscribed=sums["unsubscribed"],
        replied=replied if replied or hears_replies() else None,
        has_events=told,
        first_sent_at=first,
    )


def _hours(first_sent_at: datetime | None, opened: Hours, clicked: Hours) -> list[Hour]:
    """First opens and clicks in each of the first hours since it went out, the quiet ones between included."""
    known = sorted({*opened, *clicked})
    if not known:
        return []
    first = min(known[0], (first_sent_at or known[0]).replace(minute=0, second=0, microsecond=0))
    if known[0] - first >= timedelta(hours=HOURS):  # paused for days, say: nothing but quiet hours would be seen
        first = known[0]
    last = min(known[-1], first + timedelta(hours=HOURS - 1))
    steps = int((last - first) / timedelta(hours=1)) + 1
    moments = [first + timedelta(hours=step) for step in range(steps)]
    return [Hour(at, opened.get(at, 0), clicked.get(at, 0)) for at in moments]


# What the enhanced status code of a refusal (RFC 3463) says, as far as people can do something about it.
_CODES = {
    "5.1.1": "The address does not exist",
    "5.1.2": "The domain does not exist",
    "5.1.3": "The address is written wrongly",
    "5.1.10": "The domain takes no mail",
    "5.2.1": "The mailbox is switched off",
    "5.2.2": "The mailbox is full",
    "4.2.2": "The mailbox is full",
    "5.4.1": "The receiving server refuses the address",
    "5.7.1": "Refused by the receiver's rules",
    "5.7.26": "The sender could not be verified",
}


def _bounces(mailing: Mailing) -> list[Bar]:
    """Undelivered messages by the code in the receiving server's words; the words themselves may name a person."""
    code = Func(
        F("error"), Value(r"[245]\.\d{1,3}\.\d{1,3}"), function="substring", template="%(function)s(%(expressions)s)"
    )
    rows = (
        EmailMessage.objects.filter(mailing=mailing, state__in=_BAD)
        .order_by()
        .annotate(code=code)
        .values_list("state", "code")
        .annotate(count=Count("pk"))
    )
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    for state, name, count in rows:
        found[_reason(state, name), state] += count
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [Bar(label, count, f"state={state}") for (label, state), count in ranked[:TOP]]


def _reason(state: str, code: str | None) -> str:
    word = str(MessageState(state).label)
    return f"{_CODES.get(code, word)} ({code})" if code else f"{word}, no code given"


def links(mailing: Mailing) -> Sampled:
    """The links clicked most, by clicks of some recipients (of all, if they are few).

    They are taken in the order of an index whose ids are random, so that nothing is read but what is shown. What follows
    a `?` is left out: there may be something of the recipient's in it.
    """
    clicked = EmailMessage.objects.filter(mailing=mailing, clicked_at__isnull=False).order_by("state", "id")
    clickers = list(clicked.values_list("pk", flat=True)[: CLICKERS + 1])
    events = EmailEvent.objects.filter(kind=EventKind.CLICKED, is_machine=False, message_id__in=clickers[:CLICKERS])
    details = events.order_by().values_list("detail", flat=True)[: 10 * CLICKERS]
    urls = Counter(_bare(str((detail or {}).get("url", ""))) for detail in details)
    urls.pop("", None)
    bars = [Bar(url, count, "") for url, count in urls.most_common(TOP)]
    return Sampled(bars, min(len(clickers), CLICKERS), len(clickers) > CLICKERS)


def _bare(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.netloc}{parts.path}".rstrip("/")[:120] if parts.scheme in ("http", "https") else parts.scheme


def recipient_domains(mailing: Mailing) -> Sampled:
    """Where recipients have their mail: of a mailing's messages that come first, which is at random (their ids are).

    Domains of fewer than three are one line: they could name somebody.
    """
    rows = EmailMessage.objects.filter(mailing=mailing).exclude(state=MessageState.SKIPPED)
    first = rows.order_by("id").values("pk")[: SAMPLE + 1]  # from the index; then these few are read and decrypted
    addresses = list(EmailMessage.objects.filter(pk__in=first).order_by("id").values_list("to_email", flat=True))
    found = Counter(address.rpartition("@")[2].lower() for address in addresses[:SAMPLE] if address)
    shown = [(domain, count) for domain, count in found.most_common(TOP) if count >= 3]
    rest = found.total() - sum(count for _, count in shown)
    bars = [Bar(domain, count, "") for domain, count in shown]
    bars += [Bar("others", rest, "")] if rest else []
    return Sampled(bars, found.total(), len(addresses) > SAMPLE)
