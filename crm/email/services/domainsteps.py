"""What workers do with sending domains: register, check, remove. One step at a time, claimed by a conditional UPDATE.

A killed worker holds a domain for three minutes, then the sweep gives it to another. No step harms when it is done
twice: before a domain is registered it is looked up, and what we registered is recognised by its subdomain, which is
made from our own row. (Never by the domain alone: another organisation's, or the platform's own, must not be taken over.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from crm.email.domaintiming import DAILY, LONGEST_PAUSE, ONCE_MORE, WAITS_FOR, is_lost, next_try, pause_after
from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.providers.domain_api import (
    DomainApi,
    DomainApiError,
    RegisteredDomain,
    UnknownDomainError,
    Validation,
    domain_api,
)
from crm.email.services.domains import NEEDS_SENDGRID, record_change, wake
from tenants.models import SendingDomain

CLAIM_LASTS = timedelta(minutes=3)  # longer than the two requests of a step can take
FORGOTTEN = "SendGrid does not know this domain any more."
# What the provider calls the finding about a record, where it is not called like the record.
_OTHER_NAMES = {"subdomain_spf": "spf", "mail_server": "mail_cname", "mail_cname": "mail_server"}

Changes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    domain: EmailDomain
    until: datetime  # what it is recognised by


def due(now: datetime) -> QuerySet[EmailDomain]:
    """Domains of the entered tenant for which something is to be done, and which no worker has."""
    found: QuerySet[EmailDomain] = EmailDomain.objects.filter(next_check_at__lte=now)
    return found.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))


def claim_domain(*, domain_id: int, now: datetime) -> Claim | None:
    """Return the domain as ours to work on, or None."""
    until = now + CLAIM_LASTS
    if not due(now).filter(pk=domain_id).update(claimed_until=until):
        return None
    return Claim(EmailDomain.objects.get(pk=domain_id), until)


def carry_on(*, domain_id: int, now: datetime | None = None) -> bool:
    """Do what is due for a domain; return whether it was ours to do. Safe to run twice, also at once."""
    claim = claim_domain(domain_id=domain_id, now=now or timezone.now())
    if claim is None:
        return False
    api = domain_api()
    step = _STEPS.get(DomainState(claim.domain.state))
    if api is None:
        changes = _without_provider(claim, now or timezone.now())
    else:
        changes = step(claim.domain, api, now or timezone.now()) if step else {"next_check_at": None}
    if changes is None:
        _forget(claim)
    else:
        _settle(claim, changes, now or timezone.now())
    return True


def _without_provider(claim: Claim, now: datetime) -> Changes | None:
    if claim.domain.state == DomainState.REMOVING and not claim.domain.provider_id:
        return None  # it never got there
    return {"error": NEEDS_SENDGRID, "next_check_at": now + LONGEST_PAUSE}


def _register(domain: EmailDomain, api: DomainApi, now: datetime) -> Changes:
    ours = SendingDomain.objects.get(domain=domain.domain)
    try:
        found = find_ours(api, ours) or api.create(domain=domain.domain, subdomain=subdomain_of(ours))
        # Written down at once and outside the tenant, which may be deleted at this very moment.
        if not SendingDomain.objects.filter(pk=ours.pk).update(provider_id=found.id):
            api.delete(found.id)
    except DomainApiError as error:
        if not error.is_passing and not isinstance(error, UnknownDomainError):
            return {"error": str(error), "next_check_at": None}  # for good: a person decides
        return _try_again(domain, error, now)
    return {
        "state": DomainState.PENDING,
        "provider_id": found.id,
        "records": [{**asdict(entry), "valid": None, "reason": ""} for entry in found.records],
        "error": "",
        "checks": 0,
        "checked_at": None,  # its records have not been looked at
        "next_check_at": now + pause_after(0),
        "check_until": now + WAITS_FOR,
    }


def subdomain_of(ours: SendingDomain) -> str:
    """Return the name we choose below the domain: the same at every try, another one for every claim of a domain."""
    number = int(salted_hmac("crm.email.domains", f"{ours.pk} {ours.domain}", algorithm="sha256").hexdigest()[:8], 16)
    return f"em{number % 900_000 + 100_000}"


def find_ours(api: DomainApi, ours: SendingDomain) -> RegisteredDomain | None:
    """Return what an earlier try has registered, whose answer was lost. Raises DomainApiError."""
    subdomain = subdomain_of(ours)
    return next((found for found in api.find(ours.domain) if found.subdomain == subdomain), None)


def _check(domain: EmailDomain, api: DomainApi, now: datetime) -> Changes:
    try:
        validation = api.validate(domain.provider_id)
    except UnknownDomainError:
        return _look_for(domain, api, now)
    except DomainApiError as error:
        return _try_again(domain, error, now)
    changes: Changes = {"records": _with_findings(domain.records, validation), "error": ""}
    if validation.is_valid:
        return changes | _verified(domain, now)
    if domain.state == DomainState.VERIFIED:
        return changes | _failing(domain, now)
    return changes | _still_waiting(domain, now)


def _verified(domain: EmailDomain, now: datetime) -> Changes:
    since = domain.verified_at if domain.state == DomainState.VERIFIED else now
    whole: Changes = {"failing_since": None, "failures": 0, "lost_at": None, "told_at": None, "checks": 0}
    return whole | {"state": DomainState.VERIFIED, "verified_at": since, "next_check_at": now + DAILY}


def _failing(domain: EmailDomain, now: datetime) -> Changes:
    failures, since = domain.failures + 1, domain.failing_since or now
    if is_lost(failures=failures, failing_since=since, now=now):
        return _lost(now)
    return {"failures": failures, "failing_since": since, "next_check_at": now + ONCE_MORE}


def _lost(now: datetime) -> Changes:
    waits: Changes = {"checks": 0, "check_until": now + WAITS_FOR, "next_check_at": now + pause_after(0)}
    return waits | {"state": DomainState.LOST, "lost_at": now, "failing_since": None, "failures": 0}


def _still_waiting(domain: EmailDomain, now: datetime) -> Changes:
    checks = domain.checks + 1
    next_at = next_try(now=now, checks=checks, until=domain.check_until)
    if next_at is None and domain.state == DomainState.LOST:
        next_at = now + DAILY  # it was theirs once: hope lasts longer
    over: Changes = {"state": DomainState.EXPIRED} if next_at is None else {}
    return {"checks": checks, "next_check_at": next_at, **over}


def _try_again(domain: EmailDomain, error: DomainApiError, now: datetime) -> Changes:
    """The provider is in trouble: nothing is known about the domain, so its state stays, for as long as one waits."""
    changes: Changes = {"error": str(error), "checks": domain.checks + 1}
    if domain.state in (DomainState.VERIFIED, DomainState.LOST, DomainState.REMOVING):
        asked_for = timedelta(seconds=min(error.retry_after_s or 0.0, LONGEST_PAUSE.total_seconds()))
        return changes | {"next_check_at": now + max(pause_after(domain.checks), asked_for)}
    next_at = next_try(now=now, checks=domain.checks, until=domain.check_until, retry_after_s=error.retry_after_s)
    if next_at is None and domain.state == DomainState.PENDING:
        changes["state"] = DomainState.EXPIRED
    return changes | {"next_check_at": next_at}


def _look_for(domain: EmailDomain, api: DomainApi, now: datetime) -> Changes:
    """The provider has forgotten an id. A wrong address answers 404 to everything, so its list must say so too."""
    ours = SendingDomain.objects.get(domain=domain.domain)
    try:
        found = find_ours(api, ours)
    except DomainApiError as error:
        return _try_again(domain, error, now)
    if found is not None and found.id != domain.provider_id:
        SendingDomain.objects.filter(pk=ours.pk).update(provider_id=found.id)
        return {"provider_id": found.id, "next_check_at": now + pause_after(0)}
    if found is not None:
        return _try_again(domain, DomainApiError("SendGrid contradicts itself.", is_passing=True), now)
    SendingDomain.objects.filter(pk=ours.pk).update(provider_id="")
    was_used = domain.state in (DomainState.VERIFIED, DomainState.LOST)
    changes = _lost(now) if domain.state == DomainState.VERIFIED else {}
    state = DomainState.LOST if was_used else DomainState.EXPIRED
    return {**changes, "state": state, "provider_id": "", "error": FORGOTTEN, "next_check_at": None}


def _with_findings(records: list[dict[str, Any]], validation: Validation) -> list[dict[str, Any]]:
    merged = []
    for entry in records:
        key = entry["key"]
        finding = validation.findings.get(key) or validation.findings.get(_OTHER_NAMES.get(key, ""))
        known = {"valid": finding.is_valid, "reason": finding.reason} if finding else {"valid": None, "reason": ""}
        merged.append({**entry, **known})
    return merged


def _remove(domain: EmailDomain, api: DomainApi, now: datetime) -> Changes | None:
    ours = SendingDomain.objects.filter(domain=domain.domain).first()
    try:
        remove_at_provider(api, ours, domain.provider_id)
    except DomainApiError as error:
        return _try_again(domain, error, now)
    return None


def remove_at_provider(api: DomainApi, ours: SendingDomain | None, provider_id: str = "") -> None:
    """Raises DomainApiError. Without an id it is looked for: the answer that brought it may have been lost."""
    provider_id = provider_id or (ours.provider_id if ours else "")
    if not provider_id and ours is not None:
        found = find_ours(api, ours)
        provider_id = found.id if found else ""
    if provider_id:
        api.delete(provider_id)


def _forget(claim: Claim) -> None:
    with transaction.atomic():
        gone = EmailDomain.objects.filter(pk=claim.domain.pk, state=DomainState.REMOVING, claimed_until=claim.until)
        if gone.delete()[0]:
            SendingDomain.objects.filter(domain=claim.domain.domain).delete()
            record_change(claim.domain, "gone at SendGrid too")


def _settle(claim: Claim, changes: Changes, now: datetime) -> None:
    before = claim.domain.state
    with transaction.atomic():
        held = EmailDomain.objects.filter(pk=claim.domain.pk, claimed_until=claim.until)
        if not held.filter(state=before).update(**{"checked_at": now, **changes}, claimed_until=None):
            held.update(claimed_until=None)  # a person has decided otherwise meanwhile
            return wake(claim.domain)
        after = changes.get("state", before)
        if after != before and after in _TOLD:
            record_change(claim.domain, _TOLD[after])


_TOLD = {
    DomainState.VERIFIED: "verified",
    DomainState.LOST: "verification lost",
    DomainState.EXPIRED: "not verified in time",
}
_STEPS: dict[DomainState, Callable[[EmailDomain, DomainApi, datetime], Changes | None]] = {
    DomainState.REGISTERING: _register,
    DomainState.PENDING: _check,
    DomainState.VERIFIED: _check,
    DomainState.LOST: _check,
    DomainState.REMOVING: _remove,
}
