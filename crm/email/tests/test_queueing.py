from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from crm.email.enums import MessageState, SkipReason, SuppressionReason
from crm.email.models import EmailMessage, Enrolment, Sequence, SequenceStep
from crm.email.services import queueing
from crm.email.services.queueing import queue_message
from crm.email.services.suppressing import suppress
from crm.email.tests.mailroom import make_template
from crm.models import Contact
from crm.tests.factories import make_contact
from tenants.context import entered
from thanos.encryption import blind_index


@pytest.fixture
def published(monkeypatch):
    found = []
    monkeypatch.setattr(queueing, "publish", lambda task, **kwargs: found.append((task.name, kwargs)))
    return found


@pytest.fixture
def step(in_alice):
    sequence = Sequence.objects.create(name="Welcome", is_active=True)
    return SequenceStep.objects.create(sequence=sequence, position=1, wait_hours=0, template=make_template())


def test_what_a_message_says_is_fixed(in_alice, published, django_capture_on_commit_callbacks, settings):
    contact = make_contact("Ann", contact_email="ann@example.com", city="Rome")
    template = make_template()

    with django_capture_on_commit_callbacks(execute=True):
        message = queue_message(contact=contact, version=template.current)
    Contact.objects.update(contact_name="Bert", city="Oslo", contact_email="bert@example.com")
    message.refresh_from_db()

    # The footer has no say: the text has an unsubscribe link of its own.
    assert message.values == {"contact_name": "Ann", "city": "Rome"}
    assert (message.to_email, message.to_name, message.email_index) == (
        "ann@example.com",
        "Ann",
        blind_index("ann@example.com"),
    )
    assert (message.state, message.from_email, message.from_name) == ("queued", settings.ENV.smtp_from_email, in_alice.name)
    assert published == [("crm_email.send_single", {"message_id": str(message.pk)})]


def test_the_footers_values_are_fixed_too(in_alice, published):
    template = make_template("Hi", "<p>Hi</p>", variables=[])

    bulk = queue_message(contact=make_contact(contact_email="a@example.com"), version=template.current)
    letter = queue_message(contact=make_contact(contact_email="b@example.com"), version=template.current, is_bulk=False)

    assert set(bulk.values) == {"organization_name", "postal_address"}
    assert letter.values == {}


def test_later_is_the_sweeps(in_alice, published, django_capture_on_commit_callbacks):
    later = timezone.now() + timedelta(hours=1)

    with django_capture_on_commit_callbacks(execute=True):
        message = queue_message(
            contact=make_contact(contact_email="a@example.com"), subject="Hi", text="Hi", not_before=later
        )

    assert (message.not_before, published) == (later, [])


def test_who_cannot_be_written_to_is_noted_with_the_reason(in_alice, published, django_capture_on_commit_callbacks):
    suppress(address="a@example.com", reason=SuppressionReason.BOUNCED)

    with django_capture_on_commit_callbacks(execute=True):
        message = queue_message(contact=make_contact(contact_email="a@example.com"), subject="Hi", text="Hi")

    assert (message.state, message.skip_reason, published) == (MessageState.SKIPPED, SkipReason.BOUNCED, [])


def test_a_step_is_queued_once(step, published, bob):
    contact = make_contact(contact_email="ann@example.com")
    enrolment = Enrolment.objects.create(sequence=step.sequence, contact=contact)
    version = step.template.current

    first = queue_message(contact=contact, version=version, enrolment=enrolment, step=step)
    again = queue_message(contact=contact, version=version, enrolment=enrolment, step=step)

    assert again == first
    assert EmailMessage.objects.count() == 1
    with entered(bob):
        assert EmailMessage.objects.count() == 0


def test_a_step_is_queued_once_by_workers_at_the_same_moment(alice, published):
    """On connections of their own: what they see was committed, and is removed again."""
    found, ready = [], threading.Barrier(4)

    def alone(work):
        def run():
            with entered(alice):
                try:
                    work()
                finally:
                    connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def set_up():
        sequence = Sequence.objects.create(name="Welcome")
        template = make_template()
        made["step"] = SequenceStep.objects.create(sequence=sequence, position=1, wait_hours=0, template=template)
        made["contact"] = make_contact(contact_email="ann@example.com")
        made["enrolment"] = Enrolment.objects.create(sequence=sequence, contact=made["contact"])

    def queue():
        ready.wait(10)
        version = made["step"].template.current
        found.append(queue_message(version=version, **made).pk)

    def clean_up():
        made["contact"].delete()
        EmailMessage.objects.all().delete()
        made["step"].sequence.delete()
        template = made["step"].template
        type(template).objects.filter(pk=template.pk).update(current=None)
        template.delete()

    made = {}
    alone(set_up).join()
    try:
        for thread in [alone(queue) for _ in range(4)]:
            thread.join()
    finally:
        alone(clean_up).join()

    assert len(found) == 4 and len(set(found)) == 1
