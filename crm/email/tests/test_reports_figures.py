"""What became of a mailing, counted from rows, and what stays unknown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.email.enums import MailingState, MessageState, SendWhen, SkipReason
from crm.email.models import EmailMessage, EmailSettings, Mailing
from crm.email.selectors import reports
from crm.email.selectors.mailings import happenings, mailing_page, messages_of
from crm.email.tests.mailing_factories import NOON, make_batch, make_event, make_mailing, make_message
from tenants.context import entered

LATER = NOON + timedelta(hours=3)


@pytest.fixture
def mailing(in_alice):
    return make_mailing(state=MailingState.DONE, finished_at=LATER)


def test_figures_of_everything_that_can_happen(mailing):
    make_message(mailing, opened_at=NOON, clicked_at=NOON)
    make_message(mailing, opened_at=LATER, replied_at=LATER)
    make_message(mailing, spam_at=LATER, unsubscribed_at=LATER)
    make_message(mailing, state=MessageState.BOUNCED, bounced_at=NOON)
    make_message(mailing, state=MessageState.BLOCKED)
    make_message(mailing, state=MessageState.SENT)
    make_message(mailing, state=MessageState.UNKNOWN)
    make_message(mailing, state=MessageState.QUEUED)
    make_message(mailing, state=MessageState.FAILED)
    make_message(mailing, state=MessageState.CANCELED)
    make_message(mailing, state=MessageState.SKIPPED, skip_reason=SkipReason.UNSUBSCRIBED)

    found = reports.figures(mailing)

    assert (found.total, found.recipients, found.skipped, found.waiting) == (11, 10, 1, 1)
    assert (found.finished, found.handed_over, found.delivered, found.without_news) == (9, 7, 3, 2)
    assert (found.opened, found.clicked, found.bounced, found.spam) == (2, 1, 1, 1)
    assert (found.unsubscribed, found.replied, found.undelivered) == (1, 1, 1)
    assert (found.delivered_share, found.opened_share, found.bounced_share) == (3 / 7, 2 / 3, 1 / 7)


def test_a_mail_server_tells_nothing_so_nothing_is_known(mailing):
    make_batch(mailing, provider=reports.SMTP, size=2)
    for _ in range(2):
        make_message(mailing, state=MessageState.SENT)

    found = reports.figures(mailing)

    assert (found.delivered, found.opened, found.clicked, found.bounced, found.spam) == (None,) * 5
    assert (found.delivered_share, found.opened_share) == (None, None)
    assert (found.handed_over, found.without_news) == (2, 2)


def test_opens_are_unknown_where_they_are_not_noticed(mailing):
    make_message(mailing)
    other = make_mailing(state=MailingState.DONE, track_opens=False)
    make_message(other)
    EmailSettings.objects.update(track_opens=False, track_clicks=False)  # today's: both went out before

    found, unnoticed = reports.figures(mailing), reports.figures(other)

    assert (found.opened, found.clicked, found.delivered) == (0, 0, 1)
    assert (unnoticed.opened, unnoticed.clicked, unnoticed.delivered) == (None, 0, 1)


def test_answers_are_unknown_where_they_do_not_come_to_us(mailing, monkeypatch, settings):
    message = make_message(mailing)

    monkeypatch.setattr(settings.ENV, "inbound_email_host", "")
    assert reports.figures(mailing).replied is None
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "reply.example")
    assert reports.figures(mailing).replied == 0
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "")
    EmailMessage.objects.filter(pk=message.pk).update(replied_at=LATER)
    assert reports.figures(mailing).replied == 1


def test_another_tenants_messages_are_not_counted(in_alice, bob):
    ours = make_mailing(state=MailingState.DONE, pk=1_000_001)
    make_message(ours)
    with entered(bob):
        theirs = make_mailing(state=MailingState.DONE, pk=1_000_001)
        make_message(theirs, state=MessageState.BOUNCED, error="550 5.1.1 nobody")

    assert reports.counts(ours) == {MessageState.DELIVERED: 1}
    assert reports.report(ours).bounces == []


def test_progress_is_measured(in_alice):
    mailing = make_mailing(state=MailingState.SENDING, started_at=NOON - timedelta(minutes=5))
    for state in (
        MessageState.SENT,
        MessageState.DELIVERED,
        MessageState.QUEUED,
        MessageState.QUEUED,
        MessageState.CLAIMED,
    ):
        make_message(mailing, state=state)
    make_message(mailing, state=MessageState.SKIPPED, skip_reason=SkipReason.BOUNCED)
    make_batch(mailing, size=2, settled_at=NOON - timedelta(seconds=10))
    make_batch(mailing, size=900, settled_at=NOON - timedelta(minutes=2))  # too long ago to say how fast it is now

    found = reports.progress(mailing, now=NOON)

    assert (found.done, found.total, found.percent, found.prepared) == (2, 5, 40, 6)
    assert found.per_minute == 2
    assert found.ends_at == NOON + timedelta(minutes=1.5)


def test_speed_counts_from_the_start_of_a_young_mailing(in_alice):
    mailing = make_mailing(state=MailingState.SENDING, started_at=NOON - timedelta(seconds=15))
    make_message(mailing, state=MessageState.QUEUED)
    make_batch(mailing, size=100, settled_at=NOON - timedelta(seconds=5))

    assert reports.progress(mailing, now=NOON).per_minute == 400


def test_what_was_not_measured_is_unknown(in_alice):
    mailing = make_mailing(state=MailingState.SENDING)
    make_message(mailing, state=MessageState.QUEUED)
    paused = make_mailing(state=MailingState.PAUSED)
    make_batch(paused, size=5, settled_at=NOON)

    found = reports.progress(mailing, now=NOON)
    assert (found.per_minute, found.ends_at) == (None, None)
    assert reports.progress(paused, now=NOON).per_minute is None


def test_nobody_estimates_the_end_of_what_waits_for_mornings(in_alice):
    mailing = make_mailing(state=MailingState.SENDING, when=SendWhen.MORNING, started_at=NOON - timedelta(minutes=5))
    make_message(mailing, state=MessageState.QUEUED)
    make_batch(mailing, size=60, settled_at=NOON)

    found = reports.progress(mailing, now=NOON)

    assert (found.per_minute, found.ends_at) == (60, None)


def test_recipients_are_unknown_until_all_were_looked_at(in_alice):
    mailing = make_mailing(state=MailingState.PREPARING, prepared_at=None)
    make_message(mailing, state=MessageState.QUEUED)

    found = reports.progress(mailing, now=NOON)

    assert (found.total, found.percent, found.prepared) == (None, None, 1)


def test_hours_hold_each_recipients_first_open_and_click(mailing):
    make_message(mailing, opened_at=NOON + timedelta(minutes=10), clicked_at=NOON + timedelta(minutes=59))
    make_message(mailing, opened_at=NOON + timedelta(minutes=50))
    make_message(mailing, opened_at=NOON + timedelta(hours=2, minutes=1))
    make_message(mailing, opened_at=NOON + timedelta(days=30))  # outside of what is drawn

    hours = reports.report(mailing).hours

    assert [(hour.opened, hour.clicked) for hour in hours[:3]] == [(2, 1), (0, 0), (1, 0)]
    assert hours[0].at == NOON
    assert len(hours) == reports.HOURS


@pytest.mark.parametrize(("waited_h", "begins_h"), [(2, 0), (reports.HOURS - 1, 0), (reports.HOURS, reports.HOURS)])
def test_hours_begin_when_it_went_out_not_when_it_was_started(in_alice, waited_h, begins_h):
    mailing = make_mailing(state=MailingState.DONE, started_at=NOON - timedelta(days=5))
    make_message(mailing, sent_at=NOON + timedelta(minutes=3), opened_at=NOON + timedelta(hours=waited_h))
    make_message(mailing, sent_at=NOON + timedelta(minutes=9))

    found = reports.report(mailing)

    assert found.figures.first_sent_at == NOON + timedelta(minutes=3)
    assert found.hours[0].at == NOON + timedelta(hours=begins_h)
    assert [hour.opened for hour in found.hours] == [0] * (waited_h - begins_h) + [1]


def test_no_hours_without_opens(mailing):
    make_message(mailing)

    assert reports.report(mailing).hours == []


def test_bounces_are_counted_by_code_and_never_show_the_servers_words(mailing):
    for person in ("ann", "ben"):
        make_message(mailing, state=MessageState.BOUNCED, error=f"550 5.1.1 <{person}@example.com> unknown")
    make_message(mailing, state=MessageState.BOUNCED, error="552 5.2.2 over quota")
    make_message(mailing, state=MessageState.BLOCKED, error="greylisted")
    make_message(mailing, state=MessageState.DELIVERED, error="")

    bars = reports.report(mailing).bounces

    assert [(bar.label, bar.count, bar.query) for bar in bars] == [
        ("The address does not exist (5.1.1)", 2, "state=bounced"),
        ("Refused for now, no code given", 1, "state=blocked"),
        ("The mailbox is full (5.2.2)", 1, "state=bounced"),
    ]


def test_links_are_counted_without_what_may_name_somebody(mailing, in_alice):
    first, second = (make_message(mailing, clicked_at=NOON) for _ in range(2))
    stranger = make_message(make_mailing(name="other", state=MailingState.DONE), clicked_at=NOON)
    make_event(first, "click", url="https://acme.com/prices?who=ann")
    make_event(second, "click", url="https://acme.com/prices#x")
    make_event(second, "click", url="https://acme.com/book/")
    make_event(second, "click", url="https://acme.com/scanned", is_machine=True)
    make_event(first, "open", url="https://acme.com/not-a-click")
    make_event(stranger, "click", url="https://acme.com/elsewhere")

    found = reports.links(mailing)

    assert [(bar.label, bar.count) for bar in found.bars] == [("acme.com/prices", 2), ("acme.com/book", 1)]
    assert (found.seen, found.is_sample) == (2, False)


def test_links_of_many_who_clicked_say_that_they_are_a_part(mailing, monkeypatch):
    monkeypatch.setattr(reports, "CLICKERS", 2)
    for _ in range(3):
        make_event(make_message(mailing, clicked_at=NOON), "click", url="https://acme.com/prices")

    found = reports.links(mailing)

    assert [(bar.label, bar.count) for bar in found.bars] == [("acme.com/prices", 2)]
    assert (found.seen, found.is_sample) == (2, True)


def test_domains_of_few_recipients_are_not_named(mailing):
    for number in range(3):
        make_message(mailing, address=f"p{number}@GMAIL.com")
    make_message(mailing, address="boss@tiny-company.example")
    make_message(mailing, address="left@out.example", state=MessageState.SKIPPED, skip_reason=SkipReason.BOUNCED)

    found = reports.recipient_domains(mailing)

    assert [(bar.label, bar.count) for bar in found.bars] == [("gmail.com", 3), ("others", 1)]
    assert (found.seen, found.is_sample) == (4, False)


def test_domains_of_many_are_counted_in_a_sample(mailing, monkeypatch):
    monkeypatch.setattr(reports, "SAMPLE", 4)
    for number in range(6):
        make_message(mailing, address=f"p{number}@gmail.com")

    found = reports.recipient_domains(mailing)

    assert ([bar.count for bar in found.bars], found.is_sample) == ([4], True)


def test_a_report_takes_the_same_queries_for_one_and_for_many(mailing):
    make_message(mailing, clicked_at=NOON)

    def count():
        with CaptureQueriesContext(connection) as queries:
            reports.report(mailing)
        return len(queries)

    before = count()
    for _ in range(5):
        make_message(mailing, clicked_at=NOON, opened_at=NOON)

    assert count() == before <= 8


def test_the_list_takes_the_same_queries_for_one_and_for_three_once_they_were_counted(in_alice):
    def count():
        with CaptureQueriesContext(connection) as queries:
            mailing_page()
        return len(queries)

    make_mailing(state=MailingState.DONE, finished_at=NOON)
    count()
    before = count()
    for _ in range(2):
        make_mailing(state=MailingState.DONE, finished_at=NOON)
    count()

    assert count() == before


def test_figures_of_a_list_are_kept_for_a_while_and_not_beyond_the_tenant(in_alice, bob):
    mailing = make_mailing(state=MailingState.DONE, finished_at=NOON, pk=1_000_002)
    make_message(mailing)
    first = reports.cached_figures([mailing])[mailing.pk]
    make_message(mailing)

    assert reports.cached_figures([mailing])[mailing.pk] == first
    with entered(bob):
        theirs = make_mailing(state=MailingState.DONE, finished_at=NOON, pk=1_000_002)
        assert reports.cached_figures([theirs])[theirs.pk].total == 0
    cache.clear()
    assert reports.cached_figures([mailing])[mailing.pk].total == 2


def test_drafts_have_no_figures(in_alice):
    make_mailing()

    assert [row.figures for row in mailing_page().rows] == [None]


def test_messages_are_leafed_through_by_state_and_by_reason(mailing, monkeypatch):
    monkeypatch.setattr("crm.email.selectors.mailings.MESSAGES", 2)
    wanted = [make_message(mailing, state=MessageState.BOUNCED) for _ in range(3)]
    left_out = make_message(mailing, state=MessageState.SKIPPED, skip_reason=SkipReason.SPAM)
    make_message(mailing, state=MessageState.SKIPPED, skip_reason=SkipReason.BOUNCED)

    first = messages_of(mailing, state="bounced")
    second = messages_of(mailing, state="bounced", after=str(first.next))

    assert sorted(m.pk for m in [*first.messages, *second.messages]) == sorted(m.pk for m in wanted)
    assert (len(first.messages), second.next) == (2, None)
    assert [m.pk for m in messages_of(mailing, reason="spam").messages] == [left_out.pk]
    assert len(messages_of(mailing, state="nonsense", after="nonsense").messages) == 2


def test_happenings_are_in_the_order_of_time(mailing):
    message = make_message(mailing, sent_at=NOON + timedelta(seconds=5), replied_at=LATER)
    make_event(message, "click", NOON + timedelta(minutes=2), url="https://acme.com/prices")
    make_event(message, "delivered", NOON + timedelta(minutes=1), response="250 OK")
    make_event(message, "open", NOON + timedelta(minutes=1, seconds=30), useragent="secret", is_machine=True)
    make_event(make_message(mailing), "bounce", reason="another message's")

    found = happenings(message)

    assert [(one.kind, one.detail) for one in found] == [
        ("queued", ""),
        ("sent", ""),
        ("delivered", "250 OK"),
        ("open", ""),
        ("click", "https://acme.com/prices"),
        ("reply", ""),
    ]
    assert [one.is_machine for one in found] == [False, False, False, True, False, False]


def test_a_report_of_nothing(mailing):
    found = reports.report(mailing)

    assert (found.figures.total, found.hours, found.bounces, found.links.bars, found.domains.bars) == (0, [], [], [], [])
    assert found.figures.delivered_share is None
    assert Mailing.objects.count() == 1 and not EmailMessage.objects.exists()
