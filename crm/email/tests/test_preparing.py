from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from crm.email.enums import MailingState, MessageState, SendWhen, SkipReason, SuppressionReason
from crm.email.models import EmailMessage, Mailing
from crm.email.services import preparing
from crm.email.services.mailings import pause_mailing, start_mailing
from crm.email.services.preparing import Timing, prepare_mailing
from crm.email.services.suppressing import suppress
from crm.email.tests.mailroom import make_contacts, make_mailing, make_template, sent, started, states
from crm.models import Contact
from crm.services.merging import merge_contacts
from crm.tests.factories import make_contact
from tenants.context import entered


def skipped(mailing):
    rows = EmailMessage.objects.filter(mailing=mailing, state=MessageState.SKIPPED).order_by("contact_id")
    return list(rows.values_list("contact__contact_name", "skip_reason"))


def test_everybody_of_the_selection_gets_a_message_or_a_reason(in_alice, bob):
    with entered(bob):
        make_contact("Not ours", contact_email="bob@example.com")
    make_contact("Ann", contact_email="ann@example.com", city="Rome")
    make_contact("No address")
    make_contact("Wrong", contact_email="wrong")
    make_contact("Unwilling", contact_email="u@example.com", do_not_mail=True)
    make_contact("Bounced", contact_email="b@example.com")
    make_contact("Twin", contact_email="ANN@example.com")
    make_contact("", business_name="Nameless Ltd", contact_email="n@example.com")
    make_contact("Binned", contact_email="x@example.com", deleted_at=timezone.now())
    suppress(address="b@example.com", reason=SuppressionReason.BOUNCED)

    mailing = started(make_mailing())

    assert skipped(mailing) == [
        ("No address", SkipReason.NO_ADDRESS),
        ("Wrong", SkipReason.INVALID_ADDRESS),
        ("Unwilling", SkipReason.DO_NOT_MAIL),
        ("Bounced", SkipReason.BOUNCED),
        ("Twin", SkipReason.SAME_ADDRESS),
        ("", SkipReason.EMPTY_VALUE),  # its name would be a gap in the text
    ]
    message = EmailMessage.objects.get(mailing=mailing, state=MessageState.QUEUED)
    assert (message.to_email, message.values) == ("ann@example.com", {"contact_name": "Ann", "city": "Rome"})
    assert (message.from_email, message.version) == (mailing.from_email, mailing.version)
    assert (mailing.state, mailing.prepared_at is not None) == (MailingState.SENDING, True)


def test_a_gap_may_be_accepted(in_alice):
    make_contact("", business_name="Nameless Ltd", contact_email="n@example.com")
    mailing = make_mailing()
    Mailing.objects.update(skip_empty_values=False)

    assert states(started(mailing)) == {"queued": 1}


def test_in_pieces_the_same(in_alice):
    make_contacts(5)
    make_contact("Twin", contact_email="ann1@example.com")  # of a contact in an earlier piece
    mailing = make_mailing()
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)

    while prepare_mailing(mailing_id=mailing.pk, chunk=2, step_s=-1.0):
        pass

    assert skipped(mailing) == [("Twin", SkipReason.SAME_ADDRESS)]
    assert states(mailing) == {"queued": 5, "skipped": 1}
    assert not prepare_mailing(mailing_id=mailing.pk)  # again is nothing
    assert states(mailing) == {"queued": 5, "skipped": 1}


def test_a_piece_that_fails_leaves_no_trace_and_is_done_again(in_alice, monkeypatch):
    make_contacts(4)
    mailing = make_mailing()
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)
    prepare_mailing(mailing_id=mailing.pk, chunk=2, step_s=-1.0)

    def die(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(preparing.Mailing, "save", die)
        with pytest.raises(MemoryError):
            prepare_mailing(mailing_id=mailing.pk, chunk=2)
    assert states(mailing) == {"queued": 2}

    prepare_mailing(mailing_id=mailing.pk, chunk=2)
    assert states(mailing) == {"queued": 4}


def test_whoever_came_after_the_start_is_not_meant(in_alice):
    make_contacts(2)
    mailing = make_mailing()
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)
    make_contact("Late", contact_email="late@example.com")

    prepare_mailing(mailing_id=mailing.pk)

    assert states(mailing) == {"queued": 2}


def test_a_list_means_what_it_shows(in_alice):
    make_contacts(2, status="customer")
    make_contact("Lead", contact_email="lead@example.com", status="lead")

    mailing = started(make_mailing(query="status=customer"))

    names = EmailMessage.objects.filter(mailing=mailing).values_list("contact__contact_name", flat=True)
    assert sorted(names) == ["Ann 0", "Ann 1"]


def test_a_list_that_is_not_understood_any_more_fails_with_the_reason(in_alice):
    make_contacts(1)
    mailing = make_mailing()
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)
    Mailing.objects.update(query="status=unheard-of")

    assert not prepare_mailing(mailing_id=mailing.pk)

    mailing.refresh_from_db()
    assert mailing.state == MailingState.FAILED and mailing.error
    assert states(mailing) == {}


def test_a_paused_one_waits(in_alice):
    make_contacts(1)
    mailing = make_mailing()
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)
    pause_mailing(mailing=mailing, reason="person")

    assert not prepare_mailing(mailing_id=mailing.pk)
    assert states(mailing) == {}


def test_what_changes_afterwards_changes_nothing(in_alice, providers):
    make_contacts(2, city="Rome")
    template = make_template()
    mailing = started(make_mailing(template=template))
    template.current.html = "<p>Changed</p>"
    template.current = type(template.current).objects.create(template=template, number=2, subject="x", html="<p>x</p>")
    template.save()
    Contact.objects.update(contact_name="Changed", city="Oslo", contact_email="changed@example.com")

    sent(mailing)

    letters = sorted((copy.address, copy.letter().subject, "Rome" in copy.letter().html) for copy in providers.mail.copies)
    assert letters == [("ann0@example.com", "News for Ann 0", True), ("ann1@example.com", "News for Ann 1", True)]


def test_each_recipients_morning(in_alice):
    in_alice.time_zone = "Europe/Berlin"
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    mailing = Mailing(when=SendWhen.MORNING, send_at=datetime(2026, 11, 20, 23, 0, tzinfo=UTC))  # midnight in Berlin

    timing = Timing.of(mailing)

    moments = [
        timing.moment(Contact(phones=phones, country=country), now)
        for phones, country in (([], ""), ([{"label": "", "number": "+12125550100"}], ""), ([], "Japan"))
    ]
    assert moments == [
        datetime(2026, 11, 21, 7, 0, tzinfo=UTC),
        datetime(2026, 11, 21, 13, 0, tzinfo=UTC),
        datetime(2026, 11, 20, 23, 0, tzinfo=UTC),  # 8:00 of the 21st there
    ]


def test_in_the_morning_nothing_goes_before(in_alice, providers):
    make_contacts(2)
    mailing = started(make_mailing(), when=SendWhen.MORNING, send_at=timezone.now() + timedelta(days=2))

    sent(mailing)

    assert (mailing.state, states(mailing), providers.mail.accepted) == (MailingState.SENDING, {"queued": 2}, 0)
    assert EmailMessage.objects.earliest("not_before").not_before > timezone.now() + timedelta(days=1)
    EmailMessage.objects.update(not_before=timezone.now())
    assert sent(mailing).state == MailingState.DONE


def test_who_is_merged_into_somebody_further_down_does_not_hold_it_up(in_alice, owner):
    first, *_, last = make_contacts(4)
    mailing = make_mailing()
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)
    preparing.prepare_mailing(mailing_id=mailing.pk, step_s=-1, chunk=2)
    merge_contacts(kept=last, merged=first, take={}, by=owner)

    while prepare_mailing(mailing_id=mailing.pk, chunk=2):
        pass

    mailing.refresh_from_db()
    assert mailing.state == MailingState.SENDING
    assert EmailMessage.objects.filter(mailing=mailing, contact=last).count() == 1
    assert states(mailing) == {"queued": 3}
