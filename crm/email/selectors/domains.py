"""What the pages of sending domains show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from crm.email.domainnames import display, registrable, short_host
from crm.email.domaintiming import AT_MOST_EVERY, KEPT_FOR
from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.providers.domain_api import domain_api
from crm.email.services.domains import MAX_DOMAINS

_PURPOSES = {
    "mail_cname": "Lets what cannot be delivered come back to be counted, and names SendGrid as your sender (SPF).",
    "dkim1": "Holds the key your e-mail is signed with (DKIM), so that receivers see it is really from you.",
    "dkim2": "Holds a second key (DKIM), so that the first can be changed now and then without a gap.",
    "mail_server": "Lets what cannot be delivered come back to be counted.",
    "subdomain_spf": "Names SendGrid as a sender for the name that returned e-mail comes back to (SPF).",
    "domain_spf": "Names who may send e-mail from your domain (SPF).",
    "dkim": "Holds the key your e-mail is signed with (DKIM), so that receivers see it is really from you.",
}
_SETTLED = (DomainState.VERIFIED, DomainState.EXPIRED, DomainState.LOST)


@dataclass(frozen=True, slots=True)
class RecordView:
    key: str
    type: str
    host: str
    short_host: str
    data: str
    purpose: str
    is_valid: bool | None  # None: not looked at yet, or not known
    reason: str


@dataclass(frozen=True, slots=True)
class DomainView:
    domain: EmailDomain
    title: str  # as people read it
    zone: str
    records: list[RecordView]
    is_used: bool
    has_provider: bool

    @property
    def is_idn(self) -> bool:
        return self.title != self.domain.domain

    @property
    def valid_count(self) -> int:
        return sum(record.is_valid is True for record in self.records)

    @property
    def is_refused(self) -> bool:
        """The provider does not take it, or has forgotten it: nothing happens before a person asks again."""
        return self.domain.next_check_at is None and not self.domain.provider_id

    @property
    def is_being_looked_at(self) -> bool:
        at = self.domain.next_check_at
        return at is not None and at <= timezone.now()

    @property
    def is_just_asked(self) -> bool:
        at = self.domain.next_check_at
        return at is not None and timezone.now() - AT_MOST_EVERY < at <= timezone.now()

    @property
    def is_next_soon(self) -> bool:
        """Within a minute, which is as exact as pages are."""
        at = self.domain.next_check_at
        return at is not None and at <= timezone.now() + timedelta(minutes=1)

    @property
    def polls_every_s(self) -> int | None:
        """How often the page looks again; None: nothing will change by itself soon."""
        if self.domain.next_check_at is None:
            return None
        return 60 if self.domain.state in _SETTLED and not self.is_being_looked_at else 5

    @property
    def stamp(self) -> str:
        """Changes whenever the records' table would."""
        checked = self.domain.checked_at
        return f"{self.domain.state} {checked.timestamp() if checked else 0}"

    @property
    def kept_days(self) -> int:
        return KEPT_FOR // timedelta(days=1)

    @property
    def button(self) -> str:
        if self.domain.state == DomainState.REMOVING or (
            self.domain.state == DomainState.REGISTERING and self.domain.error
        ):
            return "Try again now"
        if self.is_refused:
            return "Register again"
        return "Check again" if self.domain.state == DomainState.EXPIRED else "Check now"


@dataclass(frozen=True, slots=True)
class DomainPage:
    domains: list[DomainView]
    has_provider: bool

    @property
    def has_room(self) -> bool:
        return self.has_provider and len(self.domains) < MAX_DOMAINS

    @property
    def most(self) -> int:
        return MAX_DOMAINS


def domain_page() -> DomainPage:
    used = used_domain_id()
    return DomainPage([domain_view(domain, used=used) for domain in EmailDomain.objects.all()], domain_api() is not None)


def domain_view(domain: EmailDomain, *, used: int | None) -> DomainView:
    records = [
        RecordView(
            key=entry["key"],
            type=entry["type"],
            host=entry["host"],
            short_host=short_host(entry["host"], domain=domain.domain),
            data=entry["data"],
            purpose=_PURPOSES.get(entry["key"], "Belongs to what SendGrid asks for."),
            is_valid=entry["valid"],
            reason=entry["reason"],
        )
        for entry in domain.records
    ]
    zone = registrable(domain.domain) or domain.domain
    is_used = domain.pk == used
    return DomainView(domain, display(domain.domain), zone, records, is_used, domain_api() is not None)


def used_domain_id() -> int | None:
    """Return the one that e-mail is sent from: of several verified ones the oldest, as `services.senders` has it."""
    verified = EmailDomain.objects.filter(state=DomainState.VERIFIED).order_by("verified_at", "id")
    found: int | None = verified.values_list("pk", flat=True).first()
    return found


def lost_domains() -> QuerySet[EmailDomain]:
    """Domains that were used and cannot be any more."""
    found: QuerySet[EmailDomain] = EmailDomain.objects.filter(lost_at__isnull=False)
    return found.exclude(state=DomainState.REMOVING)
