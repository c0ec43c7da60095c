from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from crm.email.enums import BatchState, EventKind, MailingState, MessageState
from crm.email.models import EmailEvent, EmailMessage, Mailing, SendBatch
from crm.email.providers.base import Accepted, Refused
from crm.email.services import settling, sweeping
from crm.email.services.claiming import begin_request, claim_mailing
from crm.email.services.mailings import cancel_mailing, start_mailing
from crm.email.services.refusing import refuse
from crm.email.services.settling import (
    accept_batch,
    batch_seen,
    log_batch,
    mark_unanswered,
    note_unknown,
    release_lost_claims,
    release_unknown,
    resend_message,
    resend_unknown,
    unlogged_batches,
)
from crm.email.tasks import sending as tasks
from crm.email.tests.mailroom import make_contacts, make_mailing, sent, started, states
from crm.models import Interaction
from tenants.context import entered
from tenants.models import AuditEvent

NOW = timezone.now()


@pytest.fixture
def mailing(in_alice, bob):
    with entered(bob):
        make_contacts(2)
        theirs = started(make_mailing())
        begin_request(claim=(held := claim_mailing(mailing=theirs, provider="sendgrid")), messages=held.messages)
    make_contacts(4)
    return started(make_mailing())


def asked(mailing, size=2, *, ago=timedelta(0)):
    claim = claim_mailing(mailing=mailing, provider="sendgrid", size=size)
    row = begin_request(claim=claim, messages=claim.messages, now=NOW - ago)
    row.refresh_from_db()
    return row


def tell(row, kind=EventKind.PROCESSED, *, ago=timedelta(0)):
    """The provider's news of one message of a batch, taken by us so long ago."""
    message = EmailMessage.objects.filter(batch=row).first()
    EmailEvent.objects.create(
        provider_event_id=uuid.uuid4().hex, message_id=message.pk, kind=kind, at=NOW - ago, received_at=NOW - ago
    )


def test_a_claim_nobody_asked_for_is_given_back(mailing, bob):
    claim = claim_mailing(mailing=mailing, provider="sendgrid", size=2)

    assert release_lost_claims(now=timezone.now() + timedelta(seconds=100)) == 0
    assert release_lost_claims(now=timezone.now() + timedelta(seconds=130)) == 1

    claim.batch.refresh_from_db()
    assert (claim.batch.state, states(mailing)) == (BatchState.RELEASED, {"queued": 4})


def test_a_request_nobody_answered_is_unknown_and_stays_so(mailing, bob):
    row = asked(mailing)

    assert mark_unanswered(now=NOW + timedelta(minutes=4)) == 0
    assert mark_unanswered(now=NOW + timedelta(minutes=6)) == 1
    assert release_lost_claims(now=NOW + timedelta(days=1)) == 0
    assert release_unknown(now=NOW + timedelta(days=1)) == 0  # nothing to compare it with

    row.refresh_from_db()
    assert (row.state, states(mailing)) == (BatchState.UNKNOWN, {"unknown": 2, "queued": 2})
    assert row.error
    with entered(bob):
        assert states(Mailing.objects.get()) == {"claimed": 2}


@pytest.mark.parametrize("was_unknown", [False, True])
def test_an_event_tells_that_the_whole_batch_arrived(mailing, bob, was_unknown):
    row = asked(mailing)
    if was_unknown:
        note_unknown(row.pk, error="no answer")
    first = EmailMessage.objects.filter(batch=row).first()
    EmailMessage.objects.filter(pk=first.pk).update(state=MessageState.DELIVERED)  # the event's own doing

    assert batch_seen([row.pk, uuid.uuid4()]) == 1
    assert batch_seen([row.pk]) == 0

    row.refresh_from_db()
    assert (row.state, row.error, states(mailing)) == (BatchState.ACCEPTED, "", {"delivered": 1, "sent": 1, "queued": 2})
    assert set(EmailMessage.objects.filter(batch=row).values_list("sent_at", flat=True)) == {NOW}
    with entered(bob):
        assert batch_seen([row.pk]) == 0


def test_an_answer_behind_its_own_events_is_still_written_down(mailing):
    row = asked(mailing)
    batch_seen([row.pk])

    assert not accept_batch(row.pk, provider_id="abc", status_code=202)

    row.refresh_from_db()
    assert (row.provider_id, row.status_code) == ("abc", 202)


def test_a_refusal_that_events_contradict_changes_nothing(mailing):
    row = asked(mailing)
    messages = list(EmailMessage.objects.filter(batch=row))
    batch_seen([row.pk])

    verdict = refuse(row=row, mailing=mailing, messages=messages, answer=Refused(500, is_retryable=True))

    row.refresh_from_db()
    assert verdict.is_stop
    assert (row.state, states(mailing)) == (BatchState.ACCEPTED, {"sent": 2, "queued": 2})


def test_what_the_provider_never_had_goes_again(mailing):
    lost = asked(mailing, ago=timedelta(hours=26))
    note_unknown(lost.pk, error="no answer")
    later = asked(mailing, ago=timedelta(hours=25))
    accept_batch(later.pk)
    assert release_unknown(now=NOW) == 0  # no news of the later one yet

    tell(later, EventKind.OPENED, ago=timedelta(hours=24))
    assert release_unknown(now=NOW) == 0  # not the kind that is told of everything at once
    tell(later, ago=timedelta(hours=24))
    # The provider may still be repeating what our webhook did not take.
    assert release_unknown(now=NOW - timedelta(hours=1, minutes=1)) == 0
    assert release_unknown(now=NOW) == 1

    lost.refresh_from_db()
    assert (lost.state, states(mailing)) == (BatchState.RELEASED, {"queued": 2, "sent": 2})


def test_an_outage_of_ours_proves_nothing(mailing):
    """We took no news for a day: by then the provider may have given up telling us of messages that it does have."""
    lost = asked(mailing, ago=timedelta(hours=27))
    note_unknown(lost.pk, error="no answer")
    later = asked(mailing, ago=timedelta(minutes=30))
    accept_batch(later.pk)
    tell(later, ago=timedelta(minutes=29))

    assert release_unknown(now=NOW) == 0

    lost.refresh_from_db()
    assert lost.state == BatchState.UNKNOWN


def test_nothing_is_asked_for_of_what_news_has_come_meanwhile(mailing):
    claim = claim_mailing(mailing=mailing, provider="sendgrid", size=2)
    EmailMessage.objects.filter(pk=claim.messages[0].pk).update(state=MessageState.DELIVERED)

    assert begin_request(claim=claim, messages=claim.messages) is None


def test_a_person_may_decide_about_a_single_message(mailing, owner):
    lost = asked(mailing)
    note_unknown(lost.pk, error="no answer")
    one, other = EmailMessage.objects.filter(batch=lost)
    EmailEvent.objects.create(provider_event_id="x", message_id=other.pk, kind=EventKind.PROCESSED, at=NOW)

    assert resend_message(one, by=owner)
    assert not resend_message(one, by=owner)
    assert not resend_message(other, by=owner)

    assert states(mailing) == {"queued": 3, "unknown": 1}


def test_news_of_an_earlier_request_prove_nothing(mailing):
    earlier = asked(mailing, ago=timedelta(minutes=50))
    accept_batch(earlier.pk)
    tell(earlier)
    note_unknown(asked(mailing, ago=timedelta(minutes=40)).pk, error="no answer")

    assert release_unknown(now=NOW, after=timedelta(minutes=30)) == 0


def test_news_that_nobody_has_applied_yet_count(mailing):
    lost = asked(mailing, ago=timedelta(minutes=40))
    note_unknown(lost.pk, error="no answer")
    later = asked(mailing, ago=timedelta(minutes=30))
    accept_batch(later.pk)
    tell(later)
    tell(lost)

    assert release_unknown(now=NOW, after=timedelta(minutes=30)) == 0

    lost.refresh_from_db()
    assert lost.state == BatchState.ACCEPTED


def test_another_organisations_news_prove_nothing(mailing, bob):
    note_unknown(asked(mailing, ago=timedelta(minutes=40)).pk, error="no answer")
    with entered(bob):
        row = SendBatch.objects.get()
        accept_batch(row.pk)
        tell(row)

    assert release_unknown(now=NOW + timedelta(hours=26)) == 0


def test_a_person_may_decide(mailing, owner):
    lost, heard_of = asked(mailing), asked(mailing)
    for row in (lost, heard_of):
        note_unknown(row.pk, error="no answer")
    tell(heard_of)
    Mailing.objects.update(state=MailingState.DONE)

    assert resend_unknown(mailing, by=owner) == 2
    assert resend_unknown(mailing, by=owner) == 0

    mailing.refresh_from_db()
    assert (mailing.state, states(mailing)) == (MailingState.SENDING, {"queued": 2, "unknown": 2})
    assert AuditEvent.objects.get(actor=owner, action="mailing-changed").target.endswith(
        "sends 2 unanswered messages again"
    )


def test_what_is_given_back_after_a_cancellation_is_cancelled(mailing):
    claim_mailing(mailing=mailing, provider="sendgrid", size=2)
    cancel_mailing(mailing=mailing, by=None)

    release_lost_claims(now=timezone.now() + timedelta(minutes=3))

    assert states(mailing) == {"canceled": 4}


def test_accepted_messages_come_to_the_timelines_once(mailing, bob):
    row = asked(mailing)
    accept_batch(row.pk)
    assert unlogged_batches(now=NOW + timedelta(minutes=1)) == []
    assert unlogged_batches(now=timezone.now() + timedelta(minutes=3)) == [row.pk]
    assert unlogged_batches(now=timezone.now() + timedelta(minutes=3)) == []  # its task is in line

    assert log_batch(batch_id=row.pk) == 2
    assert log_batch(batch_id=str(row.pk)) == 0

    assert sorted(Interaction.objects.values_list("subject", flat=True))[0].startswith("News for Ann")
    assert unlogged_batches(now=timezone.now() + timedelta(days=1)) == []
    with entered(bob):
        assert Interaction.objects.count() == 0


# --- the sweep -------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(monkeypatch):
    found = []
    monkeypatch.setattr(
        tasks, "publish", lambda task, **kwargs: found.append((task.name, kwargs["headers"]["tenant_schema"]))
    )
    return found


def test_the_sweep_starts_what_is_due_and_wakes_what_is_silent(in_alice, bob, published):
    make_contacts(1)
    now = timezone.now()
    for minutes in (-1, 60):
        mailing = make_mailing()
        start_mailing(
            mailing=mailing, when="at", send_at=now + timedelta(minutes=minutes), by=None, now=now - timedelta(hours=1)
        )
    silent = started(make_mailing())
    Mailing.objects.filter(pk=silent.pk).update(touched_at=now - timedelta(minutes=2))
    started(make_mailing())  # a worker is on it

    tasks.sweep_sending.apply().get()
    tasks.sweep_sending.apply().get()

    assert sorted(published) == [
        ("crm_email.prepare_mailing", in_alice.schema_name),
        ("crm_email.send_mailing", in_alice.schema_name),
    ]


def test_a_silent_mailing_without_anything_due_is_done(in_alice, providers, published):
    make_contacts(1)
    mailing = sent(started(make_mailing()))
    Mailing.objects.update(state=MailingState.SENDING, touched_at=timezone.now() - timedelta(minutes=2))

    assert sweeping.due_mailings() == []

    mailing.refresh_from_db()
    assert mailing.state == MailingState.DONE


def test_a_tenant_that_is_switched_off_sends_nothing(in_alice, published):
    make_contacts(1)
    silent = started(make_mailing())
    Mailing.objects.filter(pk=silent.pk).update(touched_at=timezone.now() - timedelta(minutes=2))
    in_alice.is_active = False
    type(in_alice).objects.filter(pk=in_alice.pk).update(is_active=False)

    claim_mailing(mailing=silent, provider="sendgrid")
    SendBatch.objects.update(created_at=timezone.now() - timedelta(hours=1))
    Mailing.objects.update(state=MailingState.DONE)

    tasks.sweep_sending.apply().get()

    silent.refresh_from_db()
    assert (published, silent.state, states(silent)) == ([], MailingState.DONE, {"claimed": 1})


def test_answers_are_settled_by_what_they_are(mailing):
    row = asked(mailing)
    assert accept_batch(row.pk, provider_id=Accepted("x").provider_id, status_code=202)
    assert not settling.note_unknown(row.pk, error="late")
    row.refresh_from_db()
    assert (row.state, row.settled_at is not None) == (BatchState.ACCEPTED, True)
