"""Sending a text message, once. The row comes first, then one decision, then the carrier.

    WAITING ──claim──▶ SENDING ──the carrier's answer──▶ QUEUED …   FAILED (it said no)   UNCERTAIN (it said nothing)
       └── a wish, a limit, a country, a budget ──▶ BLOCKED, with why

Everything that can forbid a text is asked in the transaction that claims it, under a lock of the organization, directly
before the carrier is asked: what was allowed a minute ago may be forbidden now, and two texts cannot both be the last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from base.text import to_stored
from billing.enums import Kind, Leg, Source, Unit
from billing.models import Budget
from billing.services.ledger import price_list, record_usage
from billing.services.reserving import release, reserve
from billing.usage import Usage
from crm.phones import is_e164
from crm.services.contactability import Channel, Refusal, may_contact
from telephony.costing import CARRIER
from telephony.models import Call
from telephony.services.answering import find_line
from telephony.services.carrier import carrier
from telephony.services.urls import webhook_url
from telephony.texting.enums import Author, Consent, ConsentSource, State, Stopped, Way
from telephony.texting.fates import Fate, latest
from telephony.texting.models import Conversation, Message
from telephony.texting.services.consent import note_wish, wish_of
from telephony.texting.services.conversations import conversation_of, put_last, try_to_log
from telephony.texting.services.limits import lock_sending, refuse_count, refuse_place
from telephony.twilio.client import SentText
from telephony.twilio.errors import TelephonyError
from telephony.twilio.segments import segments_of
from telephony.twilio.texterrors import OPTED_OUT, TOO_MANY_REQUESTS
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.models import User

logger = logging.getLogger("telephony")

LONGEST = 1600  # characters: what the carrier takes
WORTH_SENDING = timedelta(hours=1)  # what waited longer answers a question nobody has any more
UNSURE_AFTER = timedelta(minutes=2)
AGAIN_AFTER = timedelta(seconds=30)
CONFIRMS_STOP = "confirms-stop:"  # begins the key of the one text that may follow a STOP


def write_text(
    *,
    own_number: str,
    to: str,
    text: str,
    author: Author,
    key: str | None = None,
    by: User | None = None,
    call: Call | None = None,
) -> tuple[Message, bool]:
    """Write down a text message to be sent; return it, and whether it is new. The same `key` is the same message."""
    text = to_stored(text).strip()
    conversation = conversation_of(own_number=own_number, other=to)
    values = {
        "conversation": conversation,
        "way": Way.OUT,
        "author": author,
        "user": by,
        "call": call,
        "text": text,
        "state": State.WAITING,
        "segments": segments_of(text),
    }
    if key is None:
        message, is_new = Message.objects.create(**values), True  # type: ignore[misc]
    else:
        message, is_new = Message.objects.get_or_create(key=key, defaults=values)
    if is_new:
        put_last(message, unread=False if author in (Author.PERSON, Author.PROGRAM) else None)
        if author == Author.PERSON:
            Conversation.objects.filter(pk=conversation.pk).update(agent_stopped=Stopped.PERSON)
    return message, is_new


def send_later(message: Message) -> None:
    """Have a worker send a message once this transaction has committed."""
    transaction.on_commit(lambda: _publish(message.pk))


def _publish(message_id: int) -> None:
    from telephony.texting.tasks import send  # tasks call services

    publish(send, message_id=message_id)


def why_not(*, own_number: str, to: str, exempt: bool = False) -> Refusal | None:
    """Return what forbids texts between two numbers now, counts and budget apart; None when nothing does."""
    if not is_e164(to):
        return Refusal("no-number", "This sender is no number, so nothing can be sent to it.")
    tenant = current_tenant()
    if not tenant.is_active:
        return Refusal("inactive", "The organization is switched off.")
    if (refusal := refuse_place(own_number=own_number, number=to)) is not None:
        return refusal
    refusal = may_contact(channel=Channel.TEXT, number=to)
    return None if exempt and refusal is not None and refusal.code == "opted-out" else refusal


def claim(message_id: int, *, again: bool = False, now: datetime | None = None) -> Message | None:
    """Take a message in hand for sending, if nothing forbids it; return None when it is not ours to send.

    With `again`, one that was refused, by the carrier or by us, may be tried once more. A forbidden one is kept with why.
    """
    now = now or timezone.now()
    states = (State.WAITING, State.FAILED, State.BLOCKED) if again else (State.WAITING,)
    with transaction.atomic():
        lock_sending()
        found = Message.objects.select_related("conversation__contact", "call").select_for_update(of=("self",))
        message: Message | None = found.filter(pk=message_id, way=Way.OUT, state__in=states, message_sid="").first()
        if message is None:
            return None
        if (refusal := _refusal(message, now)) is not None:
            _block(message, refusal, now)
            return None
        Message.objects.filter(pk=message.pk).update(
            state=State.SENDING, claimed_at=now, changed_at=now, error_code=None, refusal="", why=""
        )
    return message


def _refusal(message: Message, now: datetime) -> Refusal | None:
    conversation = message.conversation
    if now - message.created_at > WORTH_SENDING and message.call_id is None:
        return Refusal("too-late", "It waited for more than an hour, so it was not sent any more.")
    if len(message.text) > LONGEST:
        return Refusal("too-long", f"It has {len(message.text)} characters, and the carrier takes {LONGEST}.")
    exempt = (message.key or "").startswith(CONFIRMS_STOP)
    refusal = why_not(own_number=conversation.own_number, to=conversation.other, exempt=exempt)
    refusal = refusal or may_contact(channel=Channel.TEXT, contact=conversation.contact) or refuse_count(message, now=now)
    if refusal is None and not _set_aside(message, now):
        refusal = Refusal("budget", "The budget is used up. Raise the limit under Billing.")
    return refusal


def _set_aside(message: Message, now: datetime) -> bool:
    """Set the message's expected cost aside; return False when that goes beyond a limit."""
    tenant = current_tenant()
    budget = Budget.objects.filter(tenant=tenant).first()
    if budget is None or not budget.limits:
        return True
    price = price_list([(CARRIER, "sms-outbound", Unit.SEGMENT)]).find(CARRIER, "sms-outbound", Unit.SEGMENT, now)
    known = price is not None and price.currency == budget.currency
    cost = Decimal(message.segments or 1) * price.price / price.per if known and price is not None else None
    return reserve(tenant=tenant, budget=budget, subject=_subject(message), amount=cost, now=now).admitted


def _subject(message: Message) -> str:
    return f"text:{message.public_id}"


def _block(message: Message, refusal: Refusal, now: datetime) -> None:
    Message.objects.filter(pk=message.pk).update(
        state=State.BLOCKED, refusal=refusal.code, why=refusal.text[:300], changed_at=now
    )


def deliver(*, message_id: int, again: bool = False, retry_busy: bool = False) -> Message:
    """Send a message if it waits and nothing forbids it; return it as it is then. Safe to repeat.

    The row must be committed: the carrier's news of it may come before its answer. With `retry_busy` a carrier that has
    too many requests at once leaves the message waiting, for the sweep to come back to.
    """
    message = claim(message_id, again=again)
    if message is not None:
        _ask_carrier(message, retry_busy=retry_busy)
        try_to_log(message.pk)
    return Message.objects.select_related("conversation__contact", "call").get(pk=message_id)


def _ask_carrier(message: Message, *, retry_busy: bool) -> None:
    conversation = message.conversation
    try:
        sent = carrier().send_sms(
            from_number=conversation.own_number,
            to_number=conversation.other,
            text=message.text,
            status_url=webhook_url("sms-status", tenant=current_tenant().schema_name, text=str(message.public_id)),
        )
    except TelephonyError as error:
        _take_error(message, error, retry_busy=retry_busy)
    else:
        _take_answer(message, sent)


def _take_answer(message: Message, sent: SentText) -> None:
    with transaction.atomic():
        change_fate(message.pk, lambda _: Fate(State.QUEUED), sid=sent.sid)
        if sent.segments:
            Message.objects.filter(pk=message.pk).update(segments=min(sent.segments, 100))
        meter(message, segments=sent.segments)


def _take_error(message: Message, error: TelephonyError, *, retry_busy: bool) -> None:
    """A carrier that said no can be asked again; one that said nothing, or failed itself, may have sent it."""
    code = error.provider_code
    if retry_busy and code == TOO_MANY_REQUESTS:
        Message.objects.filter(pk=message.pk, state=State.SENDING).update(
            state=State.WAITING, claimed_at=None, changed_at=timezone.now()
        )
        release(tenant=current_tenant(), subject=_subject(message))
        return
    is_unsure = error.retryable and (error.status is None or error.status >= 500)
    fate = Fate(State.UNCERTAIN if is_unsure else State.FAILED, None if is_unsure else code)
    logger.warning("A text message was not taken by the carrier.", extra={"text": message.pk, "code": code})
    with transaction.atomic():
        change_fate(message.pk, lambda _: fate)
        if not is_unsure:
            release(tenant=current_tenant(), subject=_subject(message))
        if code == OPTED_OUT:
            note_carriers_word(message)


def note_carriers_word(message: Message) -> None:
    """The carrier says that the number wants no texts: so it is noted here too. Run it inside a transaction.

    News of a message from before they wrote START is old.
    """
    conversation = message.conversation
    wish = wish_of(conversation.other)
    if wish is not None and message.claimed_at is not None and wish.at > message.claimed_at:
        return
    note_wish(
        number=conversation.other,
        consent=Consent.STOP,
        source=ConsentSource.CARRIER,
        own_number=conversation.own_number,
        message=message,
    )


def change_fate(message_id: int, told: Callable[[Message], Fate | None], *, sid: str = "") -> Message | None:
    """Let news change what a message is known to be; return it, or None when the news is not about it.

    `sid` is the carrier's name for it: kept when it is new, and news under another name are not about this message.
    """
    with transaction.atomic():
        found = Message.objects.select_related("conversation").select_for_update(of=("self",))
        message: Message | None = found.filter(pk=message_id, way=Way.OUT).first()
        if message is None or (sid and message.message_sid not in ("", sid)):
            return None
        fate = told(message)
        stands = latest(Fate(State(message.state), message.error_code), fate) if fate is not None else None
        if sid and not message.message_sid:
            message.message_sid = sid
        if stands is not None and stands != Fate(State(message.state), message.error_code):
            message.state, message.error_code = stands.state, stands.error_code
            message.changed_at = timezone.now()
        message.save(update_fields=["message_sid", "state", "error_code", "changed_at"])
    return message


def meter(message: Message, *, segments: int | None = None) -> None:
    """Put what a message has used into the ledger, once, and give back what was set aside for it."""
    call, conversation = message.call, message.conversation
    line = find_line(conversation.own_number) if call is None else None
    usage = Usage(
        key=f"text-message:{message.pk}",
        provider=CARRIER,
        item="sms-outbound",
        unit=Unit.SEGMENT,
        quantity=Decimal(segments or segments_of(message.text)),
        leg=Leg.MESSAGING,
        source=Source.CARRIER if segments else Source.COUNTED,
        at=timezone.now(),
        kind=Kind.CALL if call is not None else Kind.TEXT,
        subject=str(call.pk) if call is not None else str(conversation.pk),
        line_id=call.line_id if call is not None else (line.pk if line is not None else None),
        agent_id=call.agent_id if call is not None else None,
        contact_id=(call.contact_id if call is not None else None) or conversation.contact_id,
    )
    record_usage(tenant=current_tenant(), usages=[usage])
    release(tenant=current_tenant(), subject=_subject(message))


def stranded_texts(*, now: datetime | None = None) -> list[int]:
    """Return messages whose task was lost, and settle those whose sender died while it asked the carrier."""
    now = now or timezone.now()
    died = Message.objects.filter(state=State.SENDING, claimed_at__lt=now - UNSURE_AFTER)
    died.update(state=State.UNCERTAIN, changed_at=now)
    # What a call's agent, or a page, is just about to send itself is younger than this.
    waiting = Message.objects.filter(state=State.WAITING, changed_at__lt=now - AGAIN_AFTER)
    return list(waiting.order_by("id").values_list("pk", flat=True)[:200])
