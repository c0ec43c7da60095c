"""Who wakes whom, and in which organisation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.email.enums import EnrolmentState
from crm.email.models import EmailMessage, Enrolment
from crm.email.models.sequences import EnrolJob
from crm.email.services.enrolling import start_enrol_job
from crm.email.services.sequences import switch_sequence
from crm.email.tasks import sequences as tasks
from crm.email.tests.sequencing import NOW, enrol, make_sequence
from crm.models import Contact
from crm.tests.factories import make_contact
from tenants.celery import HEADER
from tenants.context import entered


@pytest.fixture
def published(monkeypatch):
    """What was put in line: the task, the organisation it is for, its arguments."""
    found = []

    def publish(task, *, headers=None, **values):
        found.append((task.name, (headers or {}).get(HEADER), values))

    monkeypatch.setattr(tasks, "publish", publish)
    return found


def test_only_organisations_where_something_is_due_are_woken(alice, bob, published):
    with entered(alice):
        enrol(make_sequence())
    with entered(bob):
        sequence = make_sequence()
        enrol(sequence)
        switch_sequence(sequence=sequence, is_active=False, by=None)

    tasks.sweep_sequences()

    assert published == [("crm_email.advance_sequences", alice.schema_name, {})]


def test_an_organisation_that_is_switched_off_stands_still(alice, bob, published):
    for tenant in (alice, bob):
        with entered(tenant):
            enrol(make_sequence())
    type(alice).objects.filter(pk=alice.pk).update(is_active=False)

    tasks.sweep_sequences()
    with entered(alice):
        tasks.advance_sequences.apply().get()
        assert EmailMessage.objects.count() == 0

    assert published == [("crm_email.advance_sequences", bob.schema_name, {})]


def test_what_a_killed_worker_left_goes_on(alice, bob, published):
    with entered(bob):
        start_enrol_job(sequence=make_sequence(), ids=[1], query="", by=None)  # it has a worker
    with entered(alice):
        job = start_enrol_job(sequence=make_sequence(), ids=[1], query="", by=None)
        EnrolJob.objects.update(touched_at=timezone.now() - timedelta(minutes=2))

    for _ in range(2):
        tasks.sweep_sequences()

    assert published == [("crm_email.enrol_contacts", alice.schema_name, {"job_id": job.pk})]


def test_enrolments_that_should_have_ended_end_in_every_organisation(alice, bob):
    for tenant in (alice, bob):
        with entered(tenant):
            enrol(make_sequence())
    with entered(alice):
        Contact.objects.update(do_not_mail_at=NOW)

    tasks.sweep_enrolments()

    with entered(alice):
        assert Enrolment.objects.get().state == EnrolmentState.UNSUBSCRIBED
    with entered(bob):
        assert Enrolment.objects.get().state == EnrolmentState.ACTIVE


def test_a_round_that_is_not_through_hands_on(in_alice, published, monkeypatch):
    sequence = make_sequence()
    contact = make_contact(contact_email="ann@example.com")
    job = start_enrol_job(sequence=sequence, ids=[contact.pk], query="", by=None)
    monkeypatch.setattr(tasks.enrolling, "run_enrol_job", lambda **_: True)
    monkeypatch.setattr(tasks.advancing, "advance_due", lambda: True)

    tasks.enrol_contacts(job_id=job.pk)
    tasks.advance_sequences()

    assert [(name, values) for name, _, values in published] == [
        ("crm_email.enrol_contacts", {"job_id": job.pk}),
        ("crm_email.advance_sequences", {}),
    ]


def test_a_job_carried_out_by_its_task_leads_to_the_first_e_mail(in_alice, published, monkeypatch):
    monkeypatch.setattr("crm.email.services.queueing._publish_later", lambda message: None)
    contact = make_contact(contact_email="ann@example.com")
    job = start_enrol_job(sequence=make_sequence(), ids=[contact.pk], query="", by=None)

    tasks.enrol_contacts(job_id=job.pk)
    tasks.advance_sequences()

    assert EmailMessage.objects.get().contact == contact
    assert published == []
