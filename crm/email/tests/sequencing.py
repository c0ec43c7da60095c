"""Boring rows of sequences, and work on connections of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from crm.email.enums import MessageState
from crm.email.models import EmailMessage, EmailTemplate, Enrolment, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.services.enrolling import enrol_contact
from crm.email.services.sequences import save_sequence
from crm.email.steps import Draft
from crm.models import Contact
from crm.tests.factories import make_contact
from tenants.context import entered, in_public
from tenants.enums import AuditAction
from tenants.models import AuditEvent, Tenant

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


def template(key: str = "welcome") -> EmailTemplate:
    return EmailTemplate.objects.get(key=key)


def draft(wait_hours: int = 0, key: str = "welcome", **values) -> Draft:
    return Draft(template_id=template(key).pk, wait_hours=wait_hours, **values)


def make_sequence(*drafts: Draft, name: str = "Spring", is_active: bool = True) -> EmailSequence:
    drafts = drafts or (draft(), draft(24, "follow-up"), draft(48, "invoice-reminder"))
    return save_sequence(sequence=None, name=name, is_active=is_active, drafts=drafts, by=None)


def enrol(sequence: EmailSequence, number: int = 1, **values) -> Enrolment:
    contact = make_contact(f"Person {number}", contact_email=f"person{number}@example.com", **values)
    return enrol_contact(sequence=sequence, contact=contact, by=None, now=NOW)


def make_message(enrolment: Enrolment, state: str = MessageState.QUEUED, **values) -> EmailMessage:
    return EmailMessage.objects.create(
        enrolment=enrolment, step=enrolment.next_step, contact=enrolment.contact, state=state, not_before=NOW, **values
    )


def drafts_of(sequence: EmailSequence) -> list[Draft]:
    return [
        Draft(id=step.pk, template_id=step.template_id, wait_hours=step.wait_hours)
        for step in SequenceStep.objects.standing().filter(sequence=sequence)
    ]


def change(sequence: EmailSequence, drafts, **values) -> EmailSequence:
    return save_sequence(sequence=sequence, **{"name": "Spring", "is_active": True, **values}, drafts=drafts, by=None)


@contextmanager
def committed(tenant: Tenant) -> Iterator[Callable[..., list[Any]]]:
    """Give a function that does work of a tenant in threads of its own, all at once, and commits; cleared up after.

    `run(work, work)` returns what each returned. A test's own transaction cannot be seen from other connections, and a
    test that empties the whole database afterwards would take the organisations of all the others with it.
    """

    def one(work: Callable[[], Any]) -> Any:
        try:
            with entered(tenant):
                return work()
        finally:
            connection.close()

    def run(*works: Callable[[], Any]) -> list[Any]:
        with ThreadPoolExecutor(len(works)) as pool:
            return [future.result(60) for future in [pool.submit(one, work) for work in works]]

    try:
        yield run
    finally:
        run(_clear)


def _clear() -> None:
    EmailMessage.objects.all().delete()
    EmailSequence.objects.all().delete()
    Contact.objects.all().delete()
    with in_public():
        AuditEvent.objects.filter(action=AuditAction.SEQUENCE_CHANGED).delete()
