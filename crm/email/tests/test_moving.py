from __future__ import annotations

import pytest
from django.utils import timezone

from crm.email.enums import EnrolmentState, MailingState, SkipReason
from crm.email.models import EmailMessage, Enrolment, Mailing, Sequence, Suppression
from crm.email.services.queueing import queue_message
from crm.email.services.suppressing import suppress
from crm.email.tests.mailroom import make_contacts, make_mailing, started, states
from crm.models import Contact, MergeRecord
from crm.services.merging import merge_contacts, undo_merge
from crm.services.purging import purge_contacts
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.signals import tenant_deactivated


@pytest.fixture
def pair(in_alice):
    return make_contact("Kept", contact_email="kept@example.com"), make_contact(
        "Merged", contact_email="merged@example.com"
    )


def write(contact, **values):
    return queue_message(contact=contact, subject="Hi", text="Hi", is_bulk=False, **values)


def test_mail_follows_a_merge_and_comes_back(pair):
    kept, merged = pair
    mailing = started(make_mailing([kept, merged]))
    letter = write(merged)
    welcome, course = Sequence.objects.create(name="Welcome"), Sequence.objects.create(name="Course")
    both = [Enrolment.objects.create(sequence=welcome, contact=contact) for contact in pair]
    only = Enrolment.objects.create(sequence=course, contact=merged)

    record = merge_contacts(kept=kept, merged=merged, take={}, by=None)

    letter.refresh_from_db()
    only.refresh_from_db()
    assert (letter.contact, only.contact) == (kept, kept)
    double = EmailMessage.objects.get(mailing=mailing, contact=merged)  # both were in it
    assert (double.state, double.skip_reason) == ("skipped", SkipReason.SAME_ADDRESS)
    assert EmailMessage.objects.get(mailing=mailing, contact=kept).state == "queued"
    states_ = [Enrolment.objects.get(pk=each.pk).state for each in both]
    assert states_ == [EnrolmentState.ACTIVE, EnrolmentState.STOPPED]

    undo_merge(record=MergeRecord.objects.get(pk=record.pk))

    letter.refresh_from_db()
    only.refresh_from_db()
    assert (letter.contact, only.contact) == (merged, merged)


def test_who_got_nothing_before_the_merge_still_gets_the_others_message(pair):
    kept, merged = pair
    Contact.objects.filter(pk=kept.pk).update(contact_email="")
    mailing = started(make_mailing(list(pair)))
    assert states(mailing) == {"skipped": 1, "queued": 1}

    merge_contacts(kept=Contact.objects.get(pk=kept.pk), merged=merged, take={}, by=None)

    assert states(mailing) == {"skipped": 1, "queued": 1}


def test_a_contact_that_is_deleted_for_good_takes_its_words_along(pair, bob):
    kept, gone = pair
    mailing = started(make_mailing([kept, gone]))
    suppress(address="gone@example.com", reason="bounced")
    letter = write(gone)
    EmailMessage.objects.filter(pk=letter.pk).update(error="550 gone@example.com is unknown")
    Contact.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())

    purge_contacts(ids=[gone.pk], binned_before=timezone.now())

    letter.refresh_from_db()
    assert (letter.contact, letter.to_email, letter.subject, letter.text, letter.values) == (None, "", "", "", None)
    assert (letter.state, letter.skip_reason, letter.error) == ("skipped", SkipReason.GONE, "")
    assert states(mailing) == {"queued": 1, "skipped": 1}  # counted all the same
    assert Suppression.objects.count() == 1


def test_an_organisation_that_is_switched_off_stops(in_alice, bob):
    make_contacts(1)
    running, draft = started(make_mailing()), make_mailing()
    with entered(bob):
        make_contacts(1)
        theirs = started(make_mailing())

    tenant_deactivated.send(sender=type(in_alice), tenant=in_alice)

    for mailing in (running, draft):
        mailing.refresh_from_db()
    assert (running.state, draft.state) == (MailingState.PAUSED, MailingState.DRAFT)
    with entered(bob):
        assert Mailing.objects.get(pk=theirs.pk).state == MailingState.SENDING
