"""Who receives a mailing: one message for each contact of the selection, in pieces that a killed worker cannot double."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import DataError, transaction
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone

from crm.email.enums import MailingState, MessageState, SendWhen, SkipReason
from crm.email.models import EmailMessage, Mailing
from crm.email.models.setup import email_settings
from crm.email.mornings import next_morning, zone_of
from crm.email.rendering.variables import values_for
from crm.email.services.mailings import carry_on_later
from crm.email.services.queueing import address_of, skip
from crm.email.services.sources import names_needed, names_printed
from crm.email.services.suppressing import skip_reasons
from crm.models import Contact
from crm.selectors.contacts import FilterError, contacts_for
from tenants.context import current_tenant
from thanos.encryption import blind_indexes

logger = logging.getLogger("crm")

CHUNK = 500
STEP_S = 20.0


def selection_of(mailing: Mailing, *, after: int = 0) -> QuerySet[Contact]:
    """Return the contacts a mailing means, in no order. Raises FilterError."""
    contacts: Any
    if mailing.contact_ids is not None:
        contacts = Contact.objects.live().filter(pk__in=mailing.contact_ids)
    else:
        contacts = contacts_for(QueryDict(mailing.query), tenant=current_tenant(), user=mailing.user, strict=True)
    if mailing.newest is not None:
        contacts = contacts.filter(pk__lte=mailing.newest)
    return contacts.filter(pk__gt=after).order_by()  # type: ignore[no-any-return]


def prepare_mailing(*, mailing_id: int, step_s: float = STEP_S, chunk: int = CHUNK) -> bool:
    """Write a mailing's messages for a while; return whether more is to be done. Safe to run twice, also at once."""
    until = time.monotonic() + step_s
    while True:
        try:
            more = _prepare_chunk(mailing_id, chunk)
        except (FilterError, DataError) as error:  # it would be the same another time
            logger.exception("A mailing could not be prepared.", extra={"mailing": mailing_id})
            _fail(mailing_id, str(error) if isinstance(error, FilterError) else "The database refused the selection.")
            return False
        if not more:
            return False
        if time.monotonic() > until:
            return True


def _fail(mailing_id: int, why: str) -> None:
    running = Mailing.objects.filter(pk=mailing_id, state=MailingState.PREPARING)
    running.update(state=MailingState.FAILED, error=why[:300], finished_at=timezone.now())


def _prepare_chunk(mailing_id: int, size: int) -> bool:
    with transaction.atomic():
        # The row is the lock: of two workers one waits, and goes on where the other stopped.
        mailing = Mailing.objects.select_for_update().get(pk=mailing_id)
        if mailing.state != MailingState.PREPARING:
            return False
        now = timezone.now()
        contacts = list(selection_of(mailing, after=mailing.cursor).order_by("pk").defer("search", "notes")[:size])
        if contacts:
            mailing.cursor = contacts[-1].pk
            EmailMessage.objects.bulk_create(_messages(mailing, _without_message(mailing, contacts), now))
        if len(contacts) < size:
            mailing.state, mailing.prepared_at = MailingState.SENDING, now
            carry_on_later(mailing)
        mailing.touched_at = now
        mailing.save(update_fields=["cursor", "state", "prepared_at", "touched_at"])
    return mailing.prepared_at is None


def _without_message(mailing: Mailing, contacts: list[Contact]) -> list[Contact]:
    """Leave out who has a message of this mailing already: somebody further up the list was merged into them."""
    known = set(EmailMessage.objects.filter(mailing=mailing, contact__in=contacts).values_list("contact_id", flat=True))
    return [contact for contact in contacts if contact.pk not in known]


def _messages(mailing: Mailing, contacts: Sequence[Contact], now: datetime) -> list[EmailMessage]:
    version = mailing.version
    rows = values_for(contacts=contacts, names=names_needed(version=version, footer_html=mailing.footer_html))
    printed = names_printed(version=version) if mailing.skip_empty_values else set()
    reasons = skip_reasons([(contact, contact.contact_email) for contact in contacts])
    taken = _taken(mailing, contacts)
    timing = Timing.of(mailing)
    messages = []
    for contact, values, reason in zip(contacts, rows, reasons, strict=True):
        message = EmailMessage(mailing=mailing, contact=contact, version=version, queued_at=now, **address_of(contact))
        if reason is None and any(values.get(name) == "" for name in printed):
            reason = SkipReason.EMPTY_VALUE
        if reason is None and message.email_index in taken:
            reason = SkipReason.SAME_ADDRESS
        if reason is None:
            taken.add(message.email_index)
            message.values, message.not_before = values, timing.moment(contact, now)
            message.from_email, message.from_name = mailing.from_email, mailing.from_name
            message.reply_to = mailing.reply_to
        else:
            skip(message, reason)
        messages.append(message)
    return messages


def _taken(mailing: Mailing, contacts: Sequence[Contact]) -> set[str]:
    """Return which of the addresses contacts before these have, by the index a new message would have."""
    current = {
        index: blind_indexes(contact.contact_email)[0]
        for contact in contacts
        for index in blind_indexes(contact.contact_email)
    }
    earlier = EmailMessage.objects.filter(mailing=mailing, email_index__in=list(current))
    found = earlier.exclude(state=MessageState.SKIPPED).values_list("email_index", flat=True)
    return {current[index] for index in found}


@dataclass(frozen=True, slots=True)
class Timing:
    """When each recipient of a mailing gets it."""

    mailing: Mailing
    zone: ZoneInfo
    morning_hour: int

    @classmethod
    def of(cls, mailing: Mailing) -> Timing:
        return cls(mailing, ZoneInfo(current_tenant().time_zone), email_settings().morning_hour)

    def moment(self, contact: Contact, now: datetime) -> datetime:
        if self.mailing.when != SendWhen.MORNING:
            return now
        day = (self.mailing.send_at or now).astimezone(self.zone).date()
        numbers = [str(phone["number"]) for phone in contact.phones]
        zone = zone_of(numbers=numbers, country=contact.country, at=now) or self.zone
        return next_morning(day=day, hour=self.morning_hour, zone=zone, now=now)
