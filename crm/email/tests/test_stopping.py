"""Whoever answers, or wants no more mail, is in no sequence any longer: at once, not at the next step."""

from __future__ import annotations

import pytest

from crm.email.enums import EnrolmentState, MessageState, SuppressionReason
from crm.email.models import EmailMessage, Enrolment
from crm.email.services.suppressing import suppress
from crm.email.tests.sequencing import draft, enrol, make_message, make_sequence
from crm.email.tests.test_replies import form, post, reply_to
from tenants.context import entered


@pytest.fixture
def enrolled(alice, bob):
    """Two people of Alice's under way, and one of Bob's with the first one's address."""
    made = {}
    for tenant in (alice, bob):
        with entered(tenant):
            sequence = make_sequence(draft(), draft(24))
            first, second = enrol(sequence, 1), enrol(sequence, 2)
            make_message(first)
            made[tenant.schema_name] = (first, second)
    return made


def states(tenant, enrolled):
    with entered(tenant):
        return [Enrolment.objects.get(pk=one.pk).state for one in enrolled[tenant.schema_name]]


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (SuppressionReason.UNSUBSCRIBED, EnrolmentState.UNSUBSCRIBED),
        (SuppressionReason.SPAM, EnrolmentState.UNSUBSCRIBED),
        (SuppressionReason.BOUNCED, EnrolmentState.BLOCKED),
        (SuppressionReason.PERSON, EnrolmentState.BLOCKED),
    ],
)
def test_a_suppressed_address_leaves_its_sequences(alice, bob, enrolled, reason, state):
    with entered(alice):
        first = enrolled[alice.schema_name][0]
        assert suppress(address=first.contact.contact_email, reason=reason)

        assert EmailMessage.objects.get(enrolment=first).state == MessageState.CANCELED
    assert states(alice, enrolled) == [state, EnrolmentState.ACTIVE]
    assert states(bob, enrolled) == [EnrolmentState.ACTIVE] * 2
    with entered(bob):
        assert EmailMessage.objects.get().state == MessageState.QUEUED


@pytest.mark.parametrize(
    ("headers", "state"),
    [("", EnrolmentState.REPLIED), ("Auto-Submitted: auto-replied\n", EnrolmentState.ACTIVE)],
    ids=["a person", "a program"],
)
def test_an_answer_of_a_person_ends_sequences(alice, bob, enrolled, monkeypatch, settings, headers, state):
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "reply.example")
    with entered(alice):
        message = EmailMessage.objects.get()
        EmailMessage.objects.update(state=MessageState.DELIVERED)

    answer = form(reply_to(alice, message), headers=f"Message-ID: <1@example.com>\nSubject: x\n{headers}")
    assert post(answer).status_code == 200

    assert states(alice, enrolled) == [state, EnrolmentState.ACTIVE]
    assert states(bob, enrolled) == [EnrolmentState.ACTIVE] * 2
