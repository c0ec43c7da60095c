"""What may be sent, how often and where to; checked at the moment of sending, whoever sends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.utils import timezone

from billing.models import Budget, LedgerEntry, Reservation
from crm.enums import FactSource
from crm.models import Contact, Interaction
from crm.services.contacts import bin_contacts, create_contact, set_do_not_contact, update_contact
from telephony.services.texting import TextingError, text_caller
from telephony.tests.factories import make_call
from telephony.texting.enums import Author, Consent, ConsentSource, State
from telephony.texting.models import ConsentEvent, Conversation, Message, TextingSettings
from telephony.texting.services.consent import note_wish
from telephony.texting.services.limits import country_of, is_premium
from telephony.texting.services.receiving import IncomingText, take_text
from telephony.texting.services.sending import claim, deliver, stranded_texts, write_text
from telephony.texting.services.setup import texting_settings
from telephony.texting.tests.factories import OURS, THEIRS, make_conversation, send
from tenants.context import entered
from tenants.models import PhoneNumber

pytestmark = pytest.mark.django_db


def limit(**values):
    settings = texting_settings()
    for name, value in values.items():
        setattr(settings, name, value)
    settings.save()


def known(number=THEIRS, **values):
    phones = [{"label": "", "number": number}]
    return create_contact(values={"contact_name": "Ann", "phones": phones, **values}, by=None)


def test_a_text_of_a_person_is_sent_kept_and_on_the_timeline(in_alice, providers, owner):
    ann = known()
    message = send("Good morning.", by=owner)
    (taken,) = providers.network.sent_messages
    assert (taken["To"], taken["From"], taken["Body"]) == (THEIRS, OURS, "Good morning.")
    assert taken["StatusCallback"].startswith("https://calls.example/api/webhooks/sms-status?tenant=")
    assert (message.state, message.user_id, message.segments) == (State.QUEUED, owner.pk, 1)
    entry = Interaction.objects.get()
    assert (entry.contact, entry.user, entry.content, entry.metadata["way"]) == (ann, owner, "Good morning.", "out")


def test_it_is_in_the_ledger_once_as_a_text(in_alice, bob, providers):
    send("Good morning.")
    entry = LedgerEntry.objects.get(item="sms-outbound")
    assert (entry.tenant, entry.kind, entry.quantity) == (in_alice, "text", Decimal(1))


def test_delivering_twice_sends_once(in_alice, providers):
    message = send()
    deliver(message_id=message.pk)
    deliver(message_id=message.pk, again=True)
    assert len(providers.network.sent_messages) == 1


# --- wishes hold for everybody ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("author", [Author.PERSON, Author.AGENT, Author.AUTOMATIC, Author.PROGRAM])
@pytest.mark.parametrize("spelled", ["+5491123456789", "+541123456789"])
def test_stop_calling_me_holds_for_texts_whoever_sends_and_however_it_is_spelled(in_alice, providers, author, spelled):
    set_do_not_contact(contact=known("+5491123456789"), source=FactSource.CALL, mail=False)
    limit(countries=["AR", "US"])
    message = send(to=spelled, author=author)
    assert (message.state, message.refusal) == (State.BLOCKED, "do-not-contact")
    assert "said in a call" in message.why and providers.network.sent_messages == []


def test_a_wish_outlives_the_contact_in_the_bin(in_alice, providers):
    ann = known(do_not_call=True)
    bin_contacts(ids=[ann.pk])
    assert send().refusal == "do-not-contact"


def test_do_not_mail_alone_is_no_wish_about_texts(in_alice, providers):
    known(do_not_mail=True)
    assert send().state == State.QUEUED


def test_the_wish_is_asked_at_the_moment_of_sending(in_alice, providers):
    ann = known()
    message, _ = write_text(own_number=OURS, to=THEIRS, text="Later", author=Author.PROGRAM)
    set_do_not_contact(contact=ann, source=FactSource.PERSON)
    assert deliver(message_id=message.pk).refusal == "do-not-contact"
    update_contact(contact=ann, values={"do_not_call": False})
    assert send("Now").state == State.QUEUED


def test_a_contacts_wish_holds_for_the_conversation_even_when_its_number_was_changed(in_alice, providers):
    ann = known("+15557009", do_not_call=True)
    make_conversation(contact=ann)
    assert send().refusal == "do-not-contact"


def test_bobs_wishes_are_not_alices(alice, bob, providers):
    with entered(bob):
        known(do_not_call=True)
        note_wish(number=THEIRS, consent=Consent.STOP, source=ConsentSource.PERSON)
    with entered(alice):
        assert send().state == State.QUEUED


# --- limits ----------------------------------------------------------------------------------------------------------


def test_three_texts_in_a_call(in_alice, providers):
    call = make_call()

    def text(words):
        return text_caller(call_id=str(call.pk), from_number=OURS, to_number=THEIRS, text=words)

    assert [text(words) for words in ("one", "two", "three", "Three ")] == [True, True, True, False]
    with pytest.raises(TextingError, match="one call is reached"):
        text("four")
    assert len(providers.network.sent_messages) == 3
    limit(per_call=4)
    assert text("four") is True  # the very same words, allowed now
    assert text_caller(call_id=str(make_call().pk), from_number=OURS, to_number=THEIRS, text="one") is True


@pytest.mark.parametrize(
    ("name", "code"), [("per_number_day", "per-number"), ("per_hour", "per-hour"), ("per_day", "per-day")]
)
def test_each_limit_stops_the_next_text_and_says_so(in_alice, bob, providers, name, code):
    limit(**{name: 2})
    assert [send(f"{n}").state for n in range(2)] == [State.QUEUED] * 2
    message = send("one too many")
    assert (message.state, message.refusal) == (State.BLOCKED, code) and "(2)" in message.why
    if name == "per_number_day":
        assert send("to somebody else", to="+15557002").state == State.QUEUED
    assert len(providers.network.sent_messages) == 3 - (name != "per_number_day")
    Message.objects.filter(claimed_at__isnull=False).update(claimed_at=timezone.now() - timedelta(days=2))
    assert send("the next day").state == State.QUEUED
    with entered(bob):
        assert texting_settings().per_hour == 200


def test_no_limit_of_zero_lets_anything_out(in_alice, providers):
    limit(per_hour=0)
    assert send().refusal == "per-hour"


@pytest.mark.parametrize(
    ("number", "country"),
    [("+15557001", "US"), ("+12025550123", "US"), ("+18765550123", "JM"), ("+14165550123", "CA"), ("+493012345678", "DE")],
)
def test_a_shared_code_is_told_apart_by_country(number, country):
    assert country_of(number) == country


@pytest.mark.parametrize("number", ["+18762345678", "+493012345678", "+22501234567", "+881612345678"])
def test_by_default_texts_stay_in_the_country_of_our_numbers(in_alice, providers, number):
    message = send(to=number)
    assert (message.state, message.refusal) == (State.BLOCKED, "country")
    assert "US" in message.why and providers.network.sent_messages == []


def test_other_countries_are_allowed_by_name(in_alice, providers):
    limit(countries=["DE"])
    assert send(to="+4915123456789").state == State.QUEUED
    assert send().refusal == "country"


def test_premium_numbers_and_our_own_get_nothing(in_alice, providers):
    assert is_premium("+19002345678") and send(to="+19002345678").refusal == "premium"
    assert send(to=OURS).refusal == "own-number"


@pytest.mark.parametrize("to", ["MYBANK", "12345"])
def test_words_and_short_codes_cannot_be_answered(in_alice, providers, to):
    assert send(to=to).refusal == "no-number"


def test_a_number_that_was_given_up_sends_nothing(in_alice, providers):
    PhoneNumber.objects.filter(number=OURS).update(is_active=False)
    assert send().refusal == "no-own-number"


def test_what_is_too_long_or_too_late_is_not_sent(in_alice, providers):
    assert send("x" * 1601).refusal == "too-long"
    message, _ = write_text(own_number=OURS, to=THEIRS, text="Old", author=Author.PROGRAM)
    Message.objects.filter(pk=message.pk).update(created_at=timezone.now() - timedelta(hours=2))
    assert deliver(message_id=message.pk).refusal == "too-late"


def test_a_used_up_budget_stops_texts_and_gives_back_what_was_set_aside(in_alice, providers):
    Budget.objects.filter(tenant=in_alice).update(daily=Decimal("0.01"))
    assert send("first").state == State.QUEUED
    assert not Reservation.objects.filter(tenant=in_alice).exists()
    Budget.objects.filter(tenant=in_alice).update(daily=0)
    assert send("second").refusal == "budget"


# --- the carrier -----------------------------------------------------------------------------------------------------


def test_a_refusal_of_the_carrier_is_explained_and_may_be_tried_again(in_alice, providers):
    providers.network.texts.refusals[THEIRS] = 21614
    message = send()
    assert (message.state, message.problem) == (State.FAILED, "The number is no mobile phone.")
    providers.network.texts.refusals.clear()
    assert deliver(message_id=message.pk, again=True).state == State.QUEUED


def test_a_busy_carrier_is_asked_again_by_the_sweep(in_alice, providers):
    providers.network.texts.refusals[THEIRS] = 20429
    message, _ = write_text(own_number=OURS, to=THEIRS, text="Hello", author=Author.PROGRAM)
    assert deliver(message_id=message.pk, retry_busy=True).state == State.WAITING
    assert stranded_texts() == []
    assert stranded_texts(now=timezone.now() + timedelta(minutes=1)) == [message.pk]


def test_an_outage_leaves_doubt(in_alice, providers):
    providers.sandbox.rest.away = 1
    assert send().state == State.UNCERTAIN


# --- at the same time ------------------------------------------------------------------------------------------------


def apart(tenant, work):
    """Do something on a connection of its own, committed."""

    def run():
        try:
            with entered(tenant):
                return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(60)


def at_once(works):
    """Do these at the same moment, each on a connection of its own."""
    ready = threading.Barrier(len(works))

    def run(work):
        try:
            ready.wait(20)
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.fixture
def cleared(alice):
    """What these tests commit is removed again."""
    yield alice
    for model in (Conversation, ConsentEvent, TextingSettings, Interaction, Contact):
        apart(alice, lambda model=model: model.objects.all().delete())


def test_two_at_once_cannot_both_be_the_last(cleared):
    def make():
        limit(per_hour=3)
        return [write_text(own_number=OURS, to=THEIRS, text=f"{n}", author=Author.PERSON)[0].pk for n in range(8)]

    made = apart(cleared, make)

    def claiming(pk):
        def work():
            with entered(cleared):
                return claim(pk) is not None

        return work

    claimed = at_once([claiming(pk) for pk in [*made, *made]])

    assert claimed.count(True) == 3
    assert apart(cleared, lambda: Message.objects.filter(state=State.SENDING).count()) == 3
    assert apart(cleared, lambda: Message.objects.filter(state=State.BLOCKED, refusal="per-hour").count()) == 5


def test_one_webhook_at_the_same_time_is_one_message(cleared):
    text = IncomingText("SMtwice", OURS, "+15557055", "Hello")

    taken = at_once([lambda: take_text(text)] * 6)

    assert sorted(taken) == [False] * 5 + [True]
    counts = apart(cleared, lambda: [one.objects.count() for one in (Conversation, Message, Contact, Interaction)])
    assert counts == [1, 1, 1, 1]


def test_the_first_texts_of_somebody_new_at_the_same_time_are_one_conversation(cleared):
    texts = [IncomingText(f"SMfirst{n}", OURS, "+15557056", f"{n}") for n in range(6)]

    assert all(at_once([lambda text=text: take_text(text) for text in texts]))

    counts = apart(cleared, lambda: [one.objects.count() for one in (Conversation, Message, Contact, Interaction)])
    assert counts == [1, 6, 1, 6]
