"""What people do with sending domains: enter one, ask for a look now, take one away. Workers do the rest (domainsteps).

registering ──▶ pending ──▶ verified ⇄ lost          any of them ──▶ removing ──▶ gone
     ▲             │ 72 h         (not registering)
     │             ▼
     └── again ── expired ── again ──▶ pending       forgotten by the provider: lost or expired, without its id
"""

from __future__ import annotations

import math
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from crm.email.domainnames import DomainNameError, display, read_domain
from crm.email.domaintiming import AT_MOST_EVERY, KEPT_FOR, WAITS_FOR
from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.providers.domain_api import domain_api
from tenants.audit import record
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import SendingDomain, Tenant, User

MAX_DOMAINS = 10  # each is looked at again and again, at one account of one provider
NEEDS_SENDGRID = "Sending domains need SendGrid, and this installation has no account there."


class DomainError(ValueError):
    """It cannot be done; the text is for the person who asked. `field` is the form's field it belongs to."""

    def __init__(self, why: str, *, field: str | None = None) -> None:
        super().__init__(why)
        self.field = field


class TooSoonError(DomainError):
    def __init__(self, wait_s: int) -> None:
        super().__init__(f"It was looked at a moment ago. Ask again in {wait_s} second{'' if wait_s == 1 else 's'}.")
        self.wait_s = wait_s


def create_domain(*, domain: str, by: User | None = None, now: datetime | None = None) -> EmailDomain:
    """Claim a domain for the entered tenant and have it registered. Raises DomainError."""
    now = now or timezone.now()
    try:
        name = read_domain(domain)
    except DomainNameError as error:
        raise DomainError(str(error), field="domain") from None
    if domain_api() is None:
        raise DomainError(NEEDS_SENDGRID)
    with transaction.atomic():
        _check_room(name)
        _claim_name(name)
        created: EmailDomain = EmailDomain.objects.create(
            domain=name, user=by, created_at=now, next_check_at=now, check_until=now + WAITS_FOR
        )
        record_change(created, "entered", by)
        wake(created)
    return created


def _check_room(name: str) -> None:
    # Locked, so that two at once do not both find the last place free.
    Tenant.objects.select_for_update(no_key=True).get(pk=current_tenant().pk)
    there = EmailDomain.objects.filter(domain=name).first()
    if there is not None and there.state == DomainState.REMOVING:
        raise DomainError(f"{display(name)} is just being removed. Enter it again when it is gone.", field="domain")
    if there is not None:
        raise DomainError(f"{display(name)} is here already.", field="domain")
    if EmailDomain.objects.count() >= MAX_DOMAINS:
        raise DomainError(f"There are {MAX_DOMAINS} domains already. Remove one that nobody needs any more.")


def _claim_name(name: str) -> None:
    try:
        with transaction.atomic():
            SendingDomain.objects.create(domain=name, tenant=current_tenant())
    except IntegrityError:  # whose it is, is nobody's business
        words = "is in use at another organisation here. If it is yours, ask for it to be removed there first."
        raise DomainError(f"{display(name)} {words}", field="domain") from None


def check_now(*, domain: EmailDomain, by: User | None = None, now: datetime | None = None) -> None:
    """Have a domain looked at now, also one whose time was over; a forgotten or refused one is registered again.

    Raises TooSoonError, and DomainError without SendGrid.
    """
    now = now or timezone.now()
    if domain_api() is None:
        raise DomainError(NEEDS_SENDGRID)
    with transaction.atomic():
        row = EmailDomain.objects.select_for_update().get(pk=domain.pk)
        if row.checked_at is not None and now < row.checked_at + AT_MOST_EVERY:
            raise TooSoonError(math.ceil((row.checked_at + AT_MOST_EVERY - now).total_seconds()))
        if row.next_check_at is not None and now - AT_MOST_EVERY < row.next_check_at <= now:
            return  # asked for a moment ago, and waiting for a worker
        changes = {"next_check_at": now, **_begun_again(row, now)}
        EmailDomain.objects.filter(pk=row.pk).update(**changes)
        if "check_until" in changes:
            record_change(row, "asked for again", by)
        wake(row)


def _begun_again(row: EmailDomain, now: datetime) -> dict[str, object]:
    afresh = {"checks": 0, "check_until": now + WAITS_FOR, "error": ""}
    if row.state == DomainState.REMOVING:
        return {}
    if not row.provider_id:
        return {**afresh, "state": DomainState.REGISTERING} if row.next_check_at is None else {}
    return {**afresh, "state": DomainState.PENDING} if row.state == DomainState.EXPIRED else {}


def remove_domain(*, domain: EmailDomain, by: User | None = None, now: datetime | None = None) -> bool:
    """Stop using a domain at once and have it taken away at the provider; False when that is under way already."""
    now = now or timezone.now()
    here = EmailDomain.objects.filter(pk=domain.pk).exclude(state=DomainState.REMOVING)
    with transaction.atomic():
        begun = here.update(
            state=DomainState.REMOVING, next_check_at=now, checks=0, check_until=None, error="", lost_at=None
        )
        if begun:
            record_change(domain, "removed", by)
            wake(domain)
    return bool(begun)


def remove_given_up(*, now: datetime | None = None) -> int:
    """Remove what was never verified and nobody came back to, so that a name is not kept from its owner for ever."""
    now = now or timezone.now()
    refused = Q(state=DomainState.REGISTERING, next_check_at=None)
    given_up = EmailDomain.objects.filter(refused | Q(state=DomainState.EXPIRED), check_until__lt=now - KEPT_FOR)
    return sum(remove_domain(domain=domain, now=now) for domain in given_up)


def may_send(from_email: str) -> bool:
    """Tell whether messages may still come from an address: the platform's own, or one at a domain that is verified."""
    if from_email == settings.ENV.smtp_from_email:
        return True
    domain = from_email.rpartition("@")[2]
    return bool(EmailDomain.objects.filter(domain=domain, state=DomainState.VERIFIED).exists())


def record_change(domain: EmailDomain, what: str, by: User | None = None) -> None:
    target = f"{domain.domain[:150]}: {what}"
    record(AuditAction.SENDING_DOMAIN_CHANGED, tenant=current_tenant(), actor=by, target=target)


def wake(domain: EmailDomain) -> None:
    """Have a worker look at it as soon as this transaction is committed."""
    from crm.email.tasks.domains import check_domain

    transaction.on_commit(lambda: publish(check_domain, domain_id=domain.pk))
