from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from crm.email.enums import BatchState, EnrolmentState, MessageState, PauseReason, SkipReason, SuppressionReason
from crm.email.models import EmailMessage, Enrolment, InboundEmail, Mailing, SendBatch, Suppression
from crm.email.models import Sequence as EmailSequence
from crm.email.services.advancing import advance_due
from crm.email.services.claiming import begin_request, claim_mailing, claim_singles, drop_unwanted
from crm.email.services.mailings import cancel_mailing, pause_mailing
from crm.email.services.queueing import queue_message
from crm.email.services.sequences import HELD, stop_enrolments, switch_sequence
from crm.email.services.settling import release_lost_claims
from crm.email.services.suppressing import suppress
from crm.email.tests.mailroom import make_contacts, make_mailing, make_template, remove_all, started, states
from crm.email.tests.sequencing import NOW, enrol, make_sequence
from crm.models import Contact, Interaction
from crm.tests.factories import make_contact
from tenants.context import entered


@pytest.fixture
def mailing(in_alice, bob):
    with entered(bob):
        make_contacts(5)
        started(make_mailing())
    make_contacts(5)
    return started(make_mailing())


def claim(mailing, **values):
    return claim_mailing(mailing=mailing, provider="sendgrid", **values)


def test_two_workers_take_different_messages(mailing, bob):
    first, second, third = claim(mailing, size=3), claim(mailing, size=3), claim(mailing, size=3)

    assert [len(first.messages), len(second.messages), third] == [3, 2, None]
    assert not {m.pk for m in first.messages} & {m.pk for m in second.messages}
    assert (first.batch.size, first.batch.state, first.batch.asked_at) == (3, BatchState.CLAIMED, None)
    assert states(mailing) == {"claimed": 5}
    with entered(bob):
        assert states(Mailing.objects.get()) == {"queued": 5}


def test_only_what_is_due_of_a_mailing_that_runs(mailing):
    later = EmailMessage.objects.filter(mailing=mailing).values("pk")[:2]
    EmailMessage.objects.filter(pk__in=list(later.values_list("pk", flat=True))).update(
        not_before=timezone.now() + timedelta(hours=1)
    )
    assert len(claim(mailing).messages) == 3

    pause_mailing(mailing=mailing, reason=PauseReason.PERSON)
    assert claim(mailing, now=timezone.now() + timedelta(hours=2)) is None


def test_workers_that_claim_at_the_same_moment(alice):
    """On connections of their own: what they see was committed, and is removed again."""
    claims, ready, made = [], threading.Barrier(5), {}

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
        contacts = make_contacts(40)
        made["mailing"] = started(make_mailing(contacts))

    def take():
        ready.wait(10)
        while found := claim(made["mailing"], size=3):
            claims.append(found)

    alone(set_up).join()
    try:
        for thread in [alone(take) for _ in range(5)]:
            thread.join()
    finally:
        alone(remove_all).join()

    taken = Counter(message.pk for each in claims for message in each.messages)
    assert (len(taken), set(taken.values())) == (40, {1})


def test_who_unsubscribed_while_the_line_was_long_is_left_out(mailing, bob):
    addresses = ["ann0@example.com", "ann1@example.com", "ann2@example.com"]
    suppress(address=addresses[0], reason=SuppressionReason.BOUNCED)
    Contact.objects.filter(contact_name="Ann 1").update(do_not_mail_at=timezone.now(), do_not_mail_source="call")
    Contact.objects.filter(contact_name="Ann 2").update(deleted_at=timezone.now())
    Contact.objects.filter(contact_name="Ann 3").delete()
    with entered(bob):
        suppress(address="ann4@example.com", reason=SuppressionReason.SPAM)  # his, and not ours
    found = claim(mailing)

    drop_unwanted(found)

    assert [message.to_email for message in found.messages] == ["ann4@example.com"]
    rows = EmailMessage.objects.filter(mailing=mailing, state=MessageState.SKIPPED)
    assert dict(rows.values_list("skip_reason", "batch")) == {
        SkipReason.BOUNCED: None,
        SkipReason.DO_NOT_MAIL: None,
        SkipReason.GONE: None,
    }
    assert rows.count() == 4


def test_a_merged_contacts_wish_is_the_one_of_whom_it_is_now(mailing):
    first, second, third = Contact.objects.filter(contact_name__in=["Ann 0", "Ann 1", "Ann 2"]).order_by("pk")
    now = timezone.now()
    Contact.objects.filter(pk=first.pk).update(deleted_at=now, merged_into=second)
    Contact.objects.filter(pk=second.pk).update(deleted_at=now, merged_into=third)
    Contact.objects.filter(pk=third.pk).update(do_not_mail_at=now, do_not_mail_source="call")
    found = claim(mailing)

    drop_unwanted(found)

    assert sorted(message.to_email for message in found.messages) == ["ann3@example.com", "ann4@example.com"]
    skipped = EmailMessage.objects.filter(mailing=mailing, state=MessageState.SKIPPED)
    assert set(skipped.values_list("skip_reason", flat=True)) == {SkipReason.DO_NOT_MAIL}


def test_a_new_address_of_the_contact_does_not_undo_the_old_ones_wish(mailing):
    suppress(address="ann0@example.com", reason=SuppressionReason.UNSUBSCRIBED)
    Contact.objects.update(do_not_mail_at=None, do_not_mail_source="")
    found = claim(mailing)

    drop_unwanted(found)

    assert len(found.messages) == 4
    assert EmailMessage.objects.get(mailing=mailing, skip_reason=SkipReason.UNSUBSCRIBED).to_email == "ann0@example.com"
    assert Suppression.objects.count() == 1


def test_the_whole_claim_is_asked_for_under_its_own_name(mailing):
    found = claim(mailing)

    row = begin_request(claim=found, messages=found.messages)

    assert row.pk == found.batch.pk
    row.refresh_from_db()
    assert (row.state, row.asked_at is not None, row.size) == (BatchState.ASKED, True, 5)
    assert begin_request(claim=found, messages=found.messages) is None  # never twice


def test_a_part_has_a_name_of_its_own(mailing):
    found = claim(mailing)

    row = begin_request(claim=found, messages=found.messages[:2])

    assert row.pk != found.batch.pk
    assert EmailMessage.objects.filter(batch=row).count() == 2
    found.batch.refresh_from_db()
    assert (found.batch.state, found.batch.messages.count()) == (BatchState.CLAIMED, 3)


@pytest.mark.parametrize(
    "stop", [lambda m: pause_mailing(mailing=m, reason="person"), lambda m: cancel_mailing(mailing=m, by=None)]
)
def test_nothing_is_asked_after_somebody_stopped_it(mailing, stop):
    found = claim(mailing)
    stop(mailing)

    assert begin_request(claim=found, messages=found.messages) is None
    assert SendBatch.objects.get().state == BatchState.CLAIMED


def test_a_worker_that_was_very_slow_has_lost_its_claim(mailing):
    found = claim(mailing)
    assert release_lost_claims(now=timezone.now() + timedelta(minutes=3)) == 1
    again = claim(mailing)

    assert begin_request(claim=found, messages=found.messages) is None
    assert begin_request(claim=again, messages=again.messages) is not None


def test_messages_of_the_same_text_go_together_and_letters_alone(in_alice):
    version, other = make_template().current, make_template("Other").current
    contacts = [make_contact(f"Ann {n}", contact_email=f"ann{n}@example.com") for n in range(5)]
    same = [queue_message(contact=contact, version=version) for contact in contacts[:2]]
    queue_message(contact=contacts[2], version=other)
    letters = [queue_message(contact=contact, subject="Hi", text="Hi", is_bulk=False) for contact in contacts[3:]]

    found = claim_singles(like_message=same[0], provider="smtp")
    letter = claim_singles(like_message=letters[0], provider="smtp")

    assert {message.pk for message in found.messages} == {message.pk for message in same}
    assert [message.pk for message in letter.messages] == [letters[0].pk]
    assert (found.mailing, states()) == (None, {"claimed": 3, "queued": 2})
    assert claim_singles(like_message=same[0], provider="smtp") is None
    assert Interaction.objects.count() == 0


# --- of sequences ------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(in_alice):
    """A sequence's message in the hands of a worker, and its enrolment."""
    enrolment = enrol(make_sequence())
    advance_due(now=NOW)
    message = EmailMessage.objects.get(enrolment=enrolment)
    found = claim_singles(like_message=message, provider="sendgrid")
    return found, enrolment


@pytest.mark.parametrize("state", [EnrolmentState.REPLIED, EnrolmentState.STOPPED, EnrolmentState.UNSUBSCRIBED])
def test_who_has_left_a_sequence_gets_nothing_more_of_it(written, state):
    found, enrolment = written
    stop_enrolments(enrolments=Enrolment.objects.filter(pk=enrolment.pk), state=state)

    drop_unwanted(found)

    assert found.messages == []
    assert EmailMessage.objects.get().state == MessageState.CANCELED


def test_an_answer_stops_the_last_message_too_unless_the_sequence_says_otherwise(written):
    found, enrolment = written
    Enrolment.objects.filter(pk=enrolment.pk).update(state=EnrolmentState.DONE)
    InboundEmail.objects.create(
        provider_id="x", contact=enrolment.contact, from_email="a@b.example", from_index="x", received_at=timezone.now()
    )
    EmailSequence.objects.update(stop_on_reply=False)
    drop_unwanted(found)
    assert len(found.messages) == 1

    EmailSequence.objects.update(stop_on_reply=True)
    drop_unwanted(found)

    assert found.messages == []


def test_a_sequence_that_rests_sends_nothing_and_loses_nothing(written):
    found, enrolment = written
    switch_sequence(sequence=enrolment.sequence, is_active=False, by=None)

    drop_unwanted(found)

    message = EmailMessage.objects.get()
    assert (found.messages, message.state, message.not_before) == ([], MessageState.QUEUED, HELD)
    switch_sequence(sequence=enrolment.sequence, is_active=True, by=None)
    message.refresh_from_db()
    assert message.not_before <= timezone.now()
