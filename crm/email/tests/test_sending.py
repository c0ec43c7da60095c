from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from crm.email.enums import BatchState, DomainState, MailingState, MessageState, PauseReason
from crm.email.models import EmailDomain, EmailMessage, EmailSettings, Mailing, SendBatch
from crm.email.providers import registry
from crm.email.rendering.process import UnavailableError
from crm.email.services import limits, sending
from crm.email.services.finishing import pause_if_bouncing
from crm.email.services.mailings import resume_mailing, start_mailing
from crm.email.services.queueing import queue_message
from crm.email.services.sending import send_mailing, send_singles
from crm.email.tasks import sending as tasks
from crm.email.tests.mailroom import make_contacts, make_mailing, make_template, put_all_in_line, sent, started, states
from crm.hooks.enums import Event
from crm.hooks.tests.factories import make_endpoint
from crm.tests.factories import make_contact
from sandbox.sendgrid.faults import Fault, Kind
from tenants.context import entered


@pytest.fixture
def bobs(bob):
    """The same addresses in Bob's organisation: nothing of his may be touched."""
    with entered(bob):
        make_contacts(3)
        return started(make_mailing())


def test_a_mailing_arrives_as_one_request_with_everybodys_own_words(in_alice, bob, bobs, providers):
    make_contacts(3)
    mailing = started(make_mailing())
    assert (mailing.state, states(mailing)) == (MailingState.SENDING, {"queued": 3})

    sent(mailing)

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"sent": 3})
    assert providers.mail.accepted == 1
    letters = {copy.address: copy.letter() for copy in providers.mail.copies}
    assert sorted(letters) == ["ann0@example.com", "ann1@example.com", "ann2@example.com"]
    one = letters["ann1@example.com"]
    message = EmailMessage.objects.get(pk=one.custom_args["thanos_message"])
    assert (one.subject, one.to_name) == ("News for Ann 1", "Ann 1")
    assert "Hello Ann 1, news of your town." in one.html and "Hello Ann 1" in one.text
    assert one.custom_args["thanos_tenant"] == in_alice.schema_name
    assert message.contact.contact_name == "Ann 1" and message.sent_at is not None
    assert one.takes_one_click and one.unsubscribe_url in one.html
    assert one.categories == [f"mailing-{mailing.pk}"]
    batch = SendBatch.objects.get()
    assert (batch.state, batch.status_code, batch.size) == (BatchState.ACCEPTED, 202, 3)
    assert batch.provider_id == providers.mail.copies[0].posting.id
    with entered(bob):
        assert states(bobs) == {"queued": 3}


# --- one by one ------------------------------------------------------------------------------------------------------


def test_where_nothing_may_differ_each_message_is_a_request(in_alice, providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_substitutions", False)
    make_contacts(3)

    mailing = sent(started(make_mailing()))

    assert (mailing.state, providers.mail.accepted) == (MailingState.DONE, 3)
    assert sorted(copy.letter().subject for copy in providers.mail.copies) == [f"News for Ann {n}" for n in range(3)]
    assert sorted(SendBatch.objects.values_list("state", "size")) == [(BatchState.ACCEPTED, 1)] * 3


def test_who_has_very_much_of_their_own_gets_a_request_of_their_own(in_alice, providers):
    make_contacts(4)
    make_contact("B" * 190, contact_email="long@example.com")
    template = make_template(
        "News", "<p>{% for n in range(30) %}{{ contact_name }} {% endfor %}{{ contact_name * 40 }}</p>"
    )

    mailing = sent(started(make_mailing(template=template)))

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"sent": 5})
    assert sorted(SendBatch.objects.values_list("size", flat=True)) == [1, 4]
    assert providers.mail.to("long@example.com").letter().html.count("B" * 190) == 70


def test_through_a_mail_server(in_alice, mailoutbox):
    make_contacts(3)

    mailing = sent(started(make_mailing()))

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"sent": 3})
    assert sorted(message.subject for message in mailoutbox) == [f"News for Ann {n}" for n in range(3)]
    assert all("/mail/u/" in message.extra_headers["List-Unsubscribe"] for message in mailoutbox)
    assert set(SendBatch.objects.values_list("provider", "size")) == {("smtp", 1)}


def test_no_way_of_sending(in_alice, settings):
    settings.EMAIL_IS_DELIVERED = False
    make_contacts(1)

    mailing = sent(started(make_mailing()))

    assert (mailing.state, mailing.pause_reason) == (MailingState.PAUSED, PauseReason.NO_PROVIDER)
    assert states(mailing) == {"queued": 1}


# --- the footer ------------------------------------------------------------------------------------------------------


def test_a_text_without_an_unsubscribe_link_gets_the_footer(in_alice, providers):
    make_contacts(1)
    template = make_template("News", "<html><body><p>News</p></body></html>", text="News", variables=[])
    mailing = started(make_mailing(template=template))
    EmailSettings.objects.update(footer_html="<p>changed meanwhile {{ city }}</p>")

    sent(mailing)

    letter = providers.mail.to("ann0@example.com").letter()
    assert letter.unsubscribe_url in letter.html and letter.html.index("Unsubscribe") < letter.html.index("</body>")
    assert f"Unsubscribe ({letter.unsubscribe_url})" in letter.text and "<" not in letter.text
    assert in_alice.name in letter.text and "changed meanwhile" not in letter.html


def test_a_text_with_a_link_of_its_own_does_not(in_alice, providers):
    make_contacts(1)
    sent(started(make_mailing()))
    assert "Preferences" not in providers.mail.to("ann0@example.com").letter().html


def test_a_footer_that_was_changed_while_a_message_of_a_sequence_waited(in_alice, providers):
    """Each has the one it was written with, also where the next one's could go in the same request."""
    version = make_template("News", "<p>News</p>", variables=[]).current
    for number, name in enumerate(("ann", "ben")):
        EmailSettings.objects.update(
            footer_html=f"<p>Footer {number} from {{{{ city }}}} {{{{ unsubscribe_url }}}}</p>", track_opens=not number
        )
        queue_message(contact=make_contact(name, contact_email=f"{name}@example.com", city="Rome"), version=version)
    EmailSettings.objects.update(footer_html="<p>Tomorrow's {{ unsubscribe_url }}</p>")

    send_singles()

    assert "Footer 0 from Rome" in providers.mail.to("ann@example.com").letter().html
    assert "Footer 1 from Rome" in providers.mail.to("ben@example.com").letter().html


def test_opens_and_clicks_are_noticed_as_was_wanted_when_it_was_started(in_alice, providers):
    make_contacts(1)
    EmailSettings.objects.update(track_opens=True, track_clicks=False)
    mailing = started(make_mailing())
    queue_message(contact=make_contact("Ben", contact_email="ben@example.com"), subject="Hi", text="Hi", is_bulk=False)
    EmailSettings.objects.update(track_opens=False, track_clicks=True)

    sent(mailing)
    send_singles()

    letters = [providers.mail.to(address).letter() for address in ("ann0@example.com", "ben@example.com")]
    assert [(letter.notices_opens, letter.notices_clicks) for letter in letters] == [(True, False)] * 2


# --- answers ---------------------------------------------------------------------------------------------------------


def test_a_provider_that_is_busy_is_asked_later(in_alice, bob, bobs, providers):
    make_contacts(2)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.STATUS, status=429, after_s=40))
    now = timezone.now()

    wait_s = send_mailing(mailing_id=mailing.pk)

    assert 30 < wait_s <= 41
    message = EmailMessage.objects.filter(mailing=mailing).first()
    assert (states(mailing), message.attempts) == ({"queued": 2}, 1)
    assert message.not_before > now + timedelta(seconds=30) and message.batch is None
    assert SendBatch.objects.get().state == BatchState.REFUSED
    with entered(bob):  # nobody bothers the provider meanwhile
        assert 30 < send_mailing(mailing_id=bobs.pk) <= 41
        assert states(bobs) == {"queued": 3}
    limits._redis().flushdb()
    EmailMessage.objects.update(not_before=now)
    assert (sent(mailing).state, states(mailing)) == (MailingState.DONE, {"sent": 2})


def test_the_tenth_refusal_is_the_last(in_alice, providers):
    make_contacts(1)
    mailing = started(make_mailing())
    for attempt in range(1, 11):
        providers.mail.faults.order(Fault(Kind.STATUS, status=500))
        limits._redis().flushdb()
        EmailMessage.objects.update(not_before=timezone.now())
        send_mailing(mailing_id=mailing.pk)
        assert EmailMessage.objects.get().attempts == attempt

    assert EmailMessage.objects.get().state == MessageState.FAILED
    assert EmailMessage.objects.get().error == "internal server error"
    assert sent(mailing).state == MailingState.DONE


def test_one_bad_address_is_named_and_the_others_go_at_once(in_alice, providers):
    make_contacts(3)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.INVALID, field="personalizations.1.to.0.email", message="Not valid."))

    sent(mailing)

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"sent": 2, "failed": 1})
    failed = EmailMessage.objects.get(state=MessageState.FAILED)
    assert failed.error == "Not valid. (personalizations.1.to.0.email)"
    assert failed.to_email not in providers.mail.sends_per_address
    assert set(providers.mail.sends_per_address.values()) == {1}


def test_a_request_that_is_refused_as_such_stops_the_mailing(in_alice, providers):
    make_contacts(2)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.INVALID, field="content.0.value", message="Not this."))

    sent(mailing)

    assert (mailing.state, mailing.pause_reason) == (MailingState.PAUSED, PauseReason.REFUSED)
    assert (mailing.error, states(mailing)) == ("Not this. (content.0.value)", {"queued": 2})


def test_a_message_of_its_own_that_is_refused_has_failed(in_alice, providers):
    message = queue_message(contact=make_contact(contact_email="a@example.com"), subject="Hi", text="Hi", is_bulk=False)
    providers.mail.faults.order(Fault(Kind.INVALID, field="content.0.value", message="Not this."))

    send_singles(message_id=message.pk)

    message.refresh_from_db()
    assert (message.state, message.error) == (MessageState.FAILED, "Not this. (content.0.value)")


def test_what_a_refusal_quotes_is_not_kept(in_alice, providers):
    make_contacts(2)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.INVALID, field="personalizations.0.to", message="ann0@example.com is no good."))
    providers.mail.faults.order(Fault(Kind.INVALID, field="content", message="ann1@example.com is no good."))

    sent(mailing)

    kept = [mailing.error, *EmailMessage.objects.values_list("error", flat=True)]
    kept += SendBatch.objects.values_list("error", flat=True)
    assert "[e-mail] is no good. (personalizations.0.to)" in kept
    assert not [text for text in kept if "@" in text]


def test_an_address_that_cannot_be_written_costs_nobody_else_their_message(in_alice, providers):
    make_contacts(3)
    mailing = started(make_mailing())
    bad = EmailMessage.objects.filter(mailing=mailing).first()
    EmailMessage.objects.filter(pk=bad.pk).update(to_email=f"ann@{'ü' * 60}.example")
    monkey = sending.drop_unwanted
    try:  # as if it had passed every check
        sending.drop_unwanted = lambda claim: None
        sent(mailing)
    finally:
        sending.drop_unwanted = monkey

    bad.refresh_from_db()
    assert (states(mailing), bad.state) == ({"sent": 2, "failed": 1}, MessageState.FAILED)
    assert bad.error == "The address cannot be written."


@pytest.mark.parametrize("status", [401, 403])
def test_an_account_nothing_is_taken_from_stops_the_mailing_and_loses_nothing(in_alice, providers, status):
    make_contacts(2)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.STATUS, status=status))

    sent(mailing)

    assert (mailing.state, mailing.pause_reason, states(mailing)) == ("paused", PauseReason.REFUSED, {"queued": 2})
    assert mailing.error
    resume_mailing(mailing=mailing, by=None)
    assert (sent(mailing).state, states(mailing)) == (MailingState.DONE, {"sent": 2})


def test_a_request_that_is_too_large_is_halved(in_alice, providers):
    make_contacts(5)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.STATUS, status=413, times=2))

    sent(mailing)

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"sent": 5})
    assert sorted(SendBatch.objects.filter(state=BatchState.ACCEPTED).values_list("size", flat=True)) == [1, 1, 3]
    assert set(providers.mail.sends_per_address.values()) == {1}


def test_one_message_that_is_too_large_has_failed(in_alice, providers):
    make_contacts(1)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.STATUS, status=413))

    sent(mailing)

    assert states(mailing) == {"failed": 1}


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.BREAK])
def test_an_answer_that_never_came_is_not_asked_for_again(in_alice, providers, kind):
    make_contacts(2)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(kind))

    sent(mailing)
    sent(mailing)

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"unknown": 2})
    assert SendBatch.objects.get().state == BatchState.UNKNOWN
    assert providers.mail.accepted == (1 if kind == Kind.DROP else 0)


def test_who_does_not_answer_is_left_alone_and_then_looked_at(in_alice, bob, bobs, providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_substitutions", False)
    make_contacts(5)
    mailing = started(make_mailing())
    providers.mail.faults.order(Fault(Kind.STATUS, status=502, times=9))

    assert send_mailing(mailing_id=mailing.pk) == 15.0

    mailing.refresh_from_db()
    assert (mailing.state, states(mailing)) == (MailingState.SENDING, {"unknown": 1, "queued": 4})
    assert 10 < send_mailing(mailing_id=mailing.pk) <= 15
    with entered(bob):
        assert 10 < send_mailing(mailing_id=bobs.pk) <= 15
    for _ in range(4):
        limits._redis().flushdb()
        send_mailing(mailing_id=mailing.pk)

    mailing.refresh_from_db()
    assert (mailing.state, mailing.pause_reason) == (MailingState.PAUSED, PauseReason.REFUSED)
    assert (states(mailing), mailing.error) == ({"unknown": 3, "queued": 2}, "The provider answered 502.")


def test_a_provider_that_cannot_be_reached_costs_no_attempt(in_alice, providers):
    make_contacts(2)
    mailing = started(make_mailing())

    with providers.away():
        assert send_mailing(mailing_id=mailing.pk) == 15.0

    assert (states(mailing), EmailMessage.objects.filter(attempts=0).count()) == ({"queued": 2}, 2)
    put_all_in_line(mailing, not_before=timezone.now())
    assert (sent(mailing).state, states(mailing)) == (MailingState.DONE, {"sent": 2})


# --- templates -------------------------------------------------------------------------------------------------------


def test_a_template_that_breaks_for_all_stops_the_mailing(in_alice, providers):
    make_contacts(2)
    mailing = started(make_mailing(template=make_template("{{ 1 // (contact_name|length - 5) }}")))

    sent(mailing)

    assert (mailing.state, mailing.pause_reason, states(mailing)) == ("paused", PauseReason.TEMPLATE, {"queued": 2})
    assert "subject" in mailing.error and providers.mail.accepted == 0


def test_a_template_that_breaks_for_one_goes_to_the_others(in_alice, providers):
    make_contacts(2)
    make_contact("Eve", contact_email="eve@example.com")
    mailing = started(make_mailing(template=make_template("{{ 1 // (contact_name|length - 3) }}")))

    sent(mailing)

    assert (mailing.state, states(mailing)) == (MailingState.DONE, {"sent": 2, "failed": 1})
    failed = EmailMessage.objects.get(state=MessageState.FAILED)
    assert failed.to_email == "eve@example.com" and failed.error


def test_a_renderer_that_is_away_fails_nobody(in_alice, providers, monkeypatch):
    make_contacts(1)
    mailing = started(make_mailing())
    single = queue_message(contact=make_contact(contact_email="s@example.com"), version=make_template().current)
    before = limits.take(0)

    def away(request, *, budget_s):
        raise UnavailableError("It died.")

    with monkeypatch.context() as patched:
        patched.setattr("crm.email.rendering.renderer.ask", away)
        assert send_mailing(mailing_id=mailing.pk) == 15.0
        assert send_singles() == 15.0

    assert (states(mailing), states(), before.count) == ({"queued": 1}, {"queued": 1}, 0)
    single.refresh_from_db()
    assert (single.attempts, single.error) == (1, "It died.") and single.not_before > timezone.now()
    assert SendBatch.objects.count() == 0
    EmailMessage.objects.update(not_before=timezone.now())
    assert (sent(mailing).state, send_singles(), states()) == (MailingState.DONE, None, {"sent": 1})


def test_a_message_nobody_can_send_is_not_in_the_others_way(in_alice, providers, monkeypatch):
    bad = queue_message(contact=make_contact(contact_email="bad@example.com"), subject="Bad", text="x", is_bulk=False)
    queue_message(contact=make_contact(contact_email="good@example.com"), subject="Good", text="x", is_bulk=False)
    words_of = sending.words_of

    def fragile(claim):
        if claim.messages[0].subject == "Bad":
            raise ZeroDivisionError
        return words_of(claim)

    monkeypatch.setattr(sending, "words_of", fragile)
    for attempt in range(1, 11):
        EmailMessage.objects.filter(pk=bad.pk).update(not_before=timezone.now() - timedelta(hours=1))
        assert send_singles() is None
        bad.refresh_from_db()
        assert bad.attempts == attempt and (attempt == 10 or bad.not_before > timezone.now())

    assert (bad.state, providers.mail.sends_per_address) == (MessageState.FAILED, {"good@example.com": 1})
    assert bad.error


def test_half_characters_are_left_out(in_alice, providers):
    make_contacts(1)
    mailing = started(make_mailing(template=make_template("Hi{{ '\\ud800' }}", "<p>{{ '\\udfff' }}News</p>", variables=[])))

    sent(mailing)

    letter = providers.mail.to("ann0@example.com").letter()
    assert (letter.subject, "News" in letter.html) == ("Hi", True)


# --- how fast, how long, and the end ---------------------------------------------------------------------------------


def test_no_more_than_the_organisations_rate(in_alice, providers):
    EmailSettings.objects.update(messages_per_minute=9)  # a bucket of three
    make_contacts(5)
    mailing = started(make_mailing())

    wait_s = send_mailing(mailing_id=mailing.pk)

    assert states(mailing) == {"sent": 3, "queued": 2}
    assert 10 < wait_s < 14


def test_a_worker_leaves_the_rest_to_the_next_task(in_alice, providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_substitutions", False)
    make_contacts(6)
    mailing = started(make_mailing())
    ticks = iter([0.0, 0.0, 0.0, 0.0, 30.0, 30.0, 30.0])

    assert send_mailing(mailing_id=mailing.pk, clock=lambda: next(ticks, 30.0)) == 0.0

    counts = states(mailing)
    assert 0 < counts["sent"] < 6 and counts["sent"] + counts["queued"] == 6


def test_what_took_too_long_to_render_goes_all_the_same(in_alice, providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_substitutions", False)
    make_contacts(3)
    EmailSettings.objects.update(messages_per_minute=9)  # a bucket of three
    mailing = started(make_mailing())
    ticks = iter([0.0, 0.0])

    assert send_mailing(mailing_id=mailing.pk, clock=lambda: next(ticks, 30.0)) == 0.0

    assert states(mailing) == {"sent": 1, "queued": 2}
    assert limits.take(2).count == 2  # what was not used was given back


def test_no_more_is_claimed_than_a_worker_can_ask_for(in_alice, providers, settings, monkeypatch):
    sizes = []
    for together in (True, False):
        monkeypatch.setattr(settings.ENV, "sendgrid_substitutions", together)
        with closing(registry.provider()) as provider:
            sizes.append(sending.Run(provider, 1.0, lambda: 0.0).claim_size)
    assert sizes == [1_000, 50]


def test_one_worker_at_a_time(in_alice, providers):
    make_contacts(1)
    mailing = started(make_mailing())

    with limits.one_at_a_time(f"mailing:{mailing.pk}"):
        assert send_mailing(mailing_id=mailing.pk) is None

    assert states(mailing) == {"queued": 1}


def test_the_end_is_told_once(in_alice, providers):
    endpoint = make_endpoint(events=[Event.MAILING_FINISHED])
    make_contacts(2)
    make_contact("No address")
    mailing = sent(started(make_mailing()))
    Mailing.objects.update(state=MailingState.SENDING)
    sent(mailing)

    delivery = endpoint.deliveries.get()
    assert delivery.payload["messages"] == {"sent": 2, "skipped": 1}
    assert (delivery.payload["id"], delivery.payload["state"]) == (mailing.pk, "done")
    assert mailing.finished_at is not None


def test_a_mailing_of_which_too_much_bounces_stops_itself_once(in_alice, providers):
    make_contacts(60)
    mailing = started(make_mailing())
    EmailMessage.objects.update(state=MessageState.DELIVERED)
    ids = list(EmailMessage.objects.values_list("pk", flat=True))
    EmailMessage.objects.filter(pk__in=ids[:6]).update(state=MessageState.BOUNCED)
    assert not pause_if_bouncing(mailing=mailing)  # ten percent, and no more

    EmailMessage.objects.filter(pk__in=ids[:7]).update(state=MessageState.BOUNCED)
    assert pause_if_bouncing(mailing=mailing)

    mailing.refresh_from_db()
    assert (mailing.state, mailing.pause_reason, mailing.error) == ("paused", PauseReason.BOUNCES, "7 of 60 bounced.")
    resume_mailing(mailing=mailing, by=None)
    assert not pause_if_bouncing(mailing=mailing)  # somebody has decided


def test_few_bounces_of_few_are_no_reason(in_alice):
    make_contacts(10)
    mailing = started(make_mailing())
    EmailMessage.objects.update(state=MessageState.BOUNCED)
    assert not pause_if_bouncing(mailing=mailing)


# --- singles ---------------------------------------------------------------------------------------------------------


def test_messages_of_a_sequence_go_together(in_alice, bob, providers):
    with entered(bob):
        queue_message(contact=make_contact(contact_email="bob@example.com"), version=make_template().current)
    version = make_template().current
    for n in range(3):
        queue_message(contact=make_contact(f"Ann {n}", contact_email=f"ann{n}@example.com"), version=version)

    assert send_singles() is None

    assert (providers.mail.accepted, states()) == (1, {"sent": 3})
    assert "bob@example.com" not in providers.mail.sends_per_address


def test_a_letter_that_is_refused_for_now_is_tried_again(in_alice, providers):
    message = queue_message(contact=make_contact(contact_email="a@example.com"), subject="Hi", text="Hi", is_bulk=False)
    providers.mail.faults.order(Fault(Kind.STATUS, status=403))

    send_singles(message_id=message.pk)

    message.refresh_from_db()
    assert (message.state, message.attempts) == (MessageState.QUEUED, 1)
    assert message.not_before > timezone.now() and message.error


def test_one_worker_at_a_time_has_the_singles(in_alice, bob, providers):
    for tenant in (in_alice, bob):
        with entered(tenant):
            queue_message(contact=make_contact(contact_email="a@example.com"), version=make_template().current)

    with limits.one_at_a_time("singles"):
        assert send_singles() is None
        assert states() == {"queued": 1}
        with entered(bob):
            send_singles()
            assert states() == {"sent": 1}


def test_singles_that_wait_are_the_sweeps(in_alice, providers, monkeypatch):
    published = []
    monkeypatch.setattr(tasks, "publish", lambda task, **kwargs: published.append(kwargs))
    message = queue_message(contact=make_contact(contact_email="a@example.com"), version=make_template().current)
    limits.rest(10)

    tasks.send_single.apply(kwargs={"message_id": str(message.pk)}).get()
    tasks.send_single.apply().get()
    assert (published, states()) == ([], {"queued": 1})

    monkeypatch.setattr(tasks.sending, "send_singles", lambda **_: 0.0)
    tasks.send_single.apply().get()
    assert published == [{}]


def test_who_is_switched_off_sends_nothing(in_alice, bob, bobs, providers, monkeypatch):
    published = []
    monkeypatch.setattr(tasks, "publish", lambda task, **kwargs: published.append(kwargs))
    make_contacts(1)
    mailing, waiting = started(make_mailing()), make_mailing()
    start_mailing(mailing=waiting, when="now", by=None)
    single = queue_message(contact=make_contact(contact_email="a@example.com"), version=make_template().current)
    type(in_alice).objects.filter(pk=in_alice.pk).update(is_active=False)

    tasks.send_mailing.apply(kwargs={"mailing_id": mailing.pk}).get()
    tasks.prepare_mailing.apply(kwargs={"mailing_id": waiting.pk}).get()
    tasks.send_single.apply(kwargs={"message_id": str(single.pk)}).get()
    tasks.send_single.apply().get()

    assert (published, providers.mail.accepted) == ([], 0)
    assert (states(mailing), states(waiting), states()) == ({"queued": 1}, {}, {"queued": 1})
    with entered(bob):
        tasks.send_mailing.apply(kwargs={"mailing_id": bobs.pk}).get()
        assert states(bobs) == {"sent": 3}


def test_what_waits_for_a_lost_domain_comes_from_todays_sender(in_alice, providers, settings):
    domain = EmailDomain.objects.create(domain="acme.example", state=DomainState.VERIFIED)
    single = queue_message(contact=make_contact(contact_email="a@example.com"), version=make_template().current)
    assert single.from_email.endswith("@acme.example")
    EmailDomain.objects.filter(pk=domain.pk).update(state=DomainState.LOST)

    send_singles()

    single.refresh_from_db()
    assert (single.state, single.from_email) == (MessageState.SENT, settings.ENV.smtp_from_email)


def test_tasks_publish_what_is_left(in_alice, providers, monkeypatch):
    published = []
    monkeypatch.setattr(tasks, "publish", lambda task, **kwargs: published.append((task.name, kwargs)))
    make_contacts(2)
    mailing = started(make_mailing())
    EmailSettings.objects.update(messages_per_minute=3)

    tasks.send_mailing.apply(kwargs={"mailing_id": mailing.pk}).get()

    ((name, kwargs),) = published
    assert (name, kwargs["mailing_id"]) == ("crm_email.send_mailing", mailing.pk)
    assert 18 < kwargs["countdown"] <= 20
    assert states(mailing) == {"sent": 1, "queued": 1}


def test_without_redis_mail_waits(in_alice, providers, monkeypatch, caplog):
    monkeypatch.setattr(limits, "_redis", lambda: redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2))
    make_contacts(1)
    mailing = started(make_mailing())

    tasks.send_mailing.apply(kwargs={"mailing_id": mailing.pk}).get()

    assert (states(mailing), providers.mail.accepted) == ({"queued": 1}, 0)
    assert "Redis is away" in caplog.text
