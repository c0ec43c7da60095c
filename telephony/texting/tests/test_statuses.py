"""Status callbacks: twice, late, in any order, before the answer, of nobody's message. Always 2xx, always right."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID

import pytest

from billing.models import LedgerEntry
from crm.models import Interaction
from telephony.texting.enums import Author, ConsentSource, State
from telephony.texting.models import ConsentEvent, Message
from telephony.texting.services import sending
from telephony.texting.services.sending import UNSURE_AFTER, claim, deliver, stranded_texts, write_text
from telephony.texting.tests.factories import (
    BASE,
    BOBS,
    OURS,
    THEIRS,
    make_conversation,
    make_message,
    post_to,
    receive,
    send,
    status,
)
from tenants.context import entered

pytestmark = pytest.mark.django_db


def state_of(message):
    message.refresh_from_db()
    return message.state


def test_a_message_lives_through_to_delivery(in_alice, providers):
    message = send()
    assert (message.state, message.message_sid[:2]) == (State.QUEUED, "SM")
    for word, state in (("sending", "queued"), ("sent", "sent"), ("delivered", "delivered"), ("read", "delivered")):
        assert status(message, word).status_code == 204
        assert state_of(message) == state


@pytest.mark.parametrize("order", list(permutations(["queued", "sent", "delivered", "undelivered"])))
def test_every_order_of_news_ends_the_same(in_alice, order):
    message = make_message(make_conversation(), way="out", state=State.SENDING)
    for word in order:
        assert status(message, word, "30003" if word == "undelivered" else "").status_code == 204
    assert (state_of(message), message.error_code) == (State.DELIVERED, None)


def test_the_carriers_own_addresses_lead_back_to_the_message(in_alice, bob, providers):
    message = send()
    (taken,) = providers.network.sent_messages
    form = providers.network.texts.status_form(taken, "delivered")
    assert post_to(taken["StatusCallback"], form).status_code == 204
    assert state_of(message) == State.DELIVERED


def test_news_that_overtakes_the_answer_is_kept(in_alice, providers):
    """The callback is there before our request has returned: its address names the message, whose SID is not known yet."""
    message, _ = write_text(own_number=OURS, to=THEIRS, text="Quick", author=Author.PERSON)
    claimed = claim(message.pk)
    url = BASE + f"sms-status?tenant={in_alice.schema_name}&text={claimed.public_id}"
    form = {"MessageSid": "SMfast", "MessageStatus": "delivered", "From": OURS, "To": THEIRS}
    assert post_to(url, form).status_code == 204
    sending._take_answer(claimed, sending.SentText("SMfast", 1))
    message.refresh_from_db()
    assert (message.state, message.message_sid) == (State.DELIVERED, "SMfast")


def test_a_message_whose_request_was_never_answered_is_found_and_paid_for(
    in_alice, providers, settings, monkeypatch, unused_port
):
    url = settings.ENV.twilio_api_url
    monkeypatch.setattr(settings.ENV, "twilio_api_url", f"http://127.0.0.1:{unused_port}")
    message = send()
    monkeypatch.setattr(settings.ENV, "twilio_api_url", url)
    assert message.state == State.UNCERTAIN and not LedgerEntry.objects.filter(tenant=in_alice).exists()
    callback = BASE + f"sms-status?tenant={in_alice.schema_name}&text={message.public_id}"
    for _ in range(2):
        post_to(callback, {"MessageSid": "SMlate", "MessageStatus": "sent", "From": OURS, "To": THEIRS})
    assert state_of(message) == State.SENT
    assert LedgerEntry.objects.get(tenant=in_alice).item == "sms-outbound"


@pytest.mark.parametrize(
    "changes",
    [
        {"MessageSid": "SMnobodys"},
        {"MessageSid": "", "SmsSid": ""},
        {"MessageStatus": "sparkling"},
        {"MessageStatus": ""},
        {"MessageStatus": "received"},
        {"From": "+15550999"},
        {"ErrorCode": "not a number"},
    ],
)
def test_what_means_nothing_here_is_taken_without_a_word(in_alice, changes):
    message = make_message(make_conversation(), way="out", state=State.QUEUED)
    assert status(message, "queued", **changes).status_code == 204
    assert state_of(message) == State.QUEUED


@pytest.mark.parametrize("query", ["?tenant=nobody&text=1", "?text=abc", f"?text={UUID(int=7)}", "?tenant=public"])
def test_an_address_that_names_nothing_changes_nothing(in_alice, query):
    message = make_message(make_conversation(), way="out", state=State.QUEUED)
    form = {"MessageSid": "SMother", "MessageStatus": "delivered", "From": OURS, "To": THEIRS}
    assert post_to(BASE + "sms-status" + query, form).status_code == 204
    assert state_of(message) == State.QUEUED


def test_another_organizations_message_is_not_touched(alice, bob):
    with entered(alice):
        message = make_message(make_conversation(), way="out", state=State.SENT)
    status(message, "undelivered", From=BOBS)
    post_to(
        BASE + f"sms-status?tenant={bob.schema_name}&text={message.public_id}",
        {"MessageSid": message.message_sid, "MessageStatus": "failed", "From": OURS},
    )
    with entered(alice):
        assert state_of(message) == State.SENT


def test_news_under_another_name_is_about_another_message(in_alice):
    message = make_message(make_conversation(), way="out", state=State.SENT)
    url = BASE + f"sms-status?tenant={in_alice.schema_name}&text={message.public_id}"
    post_to(url, {"MessageSid": "SManother", "MessageStatus": "failed", "From": OURS})
    assert state_of(message) == State.SENT


def test_incoming_messages_have_no_fate(in_alice):
    message = make_message(make_conversation())
    status(message, "failed", "30003")
    assert state_of(message) == State.RECEIVED


def test_a_code_is_kept_and_said_in_words(in_alice):
    message = make_message(make_conversation(), way="out", state=State.SENT)
    status(message, "undelivered", "30006")
    message.refresh_from_db()
    assert (message.error_code, message.problem) == (30006, "The number is a landline, or cannot get texts.")


def test_the_carrier_saying_21610_is_an_opt_out(in_alice, providers):
    providers.network.texts.stopped.add((OURS, THEIRS))
    message = send()
    assert (message.state, message.error_code) == (State.FAILED, 21610)
    assert ConsentEvent.objects.get().source == ConsentSource.CARRIER
    assert send("Again").refusal == "opted-out"
    assert not Interaction.objects.filter(kind="sms").exists()


def test_old_news_of_an_opt_out_does_not_undo_a_start(in_alice, providers):
    message = send()
    for _ in range(2):
        status(message, "failed", "21610")
    receive("START")
    status(message, "failed", "21610")
    assert list(ConsentEvent.objects.order_by("id").values_list("consent", flat=True)) == ["stop", "start"]
    assert send("Welcome back").state == State.QUEUED


def test_a_sender_that_died_leaves_doubt_and_never_a_second_text(in_alice, providers):
    message, _ = write_text(own_number=OURS, to=THEIRS, text="Once", author=Author.PERSON)
    claimed = claim(message.pk)
    Message.objects.update(claimed_at=claimed.created_at - UNSURE_AFTER * 2)
    assert stranded_texts() == []
    assert state_of(message) == State.UNCERTAIN
    deliver(message_id=message.pk, again=True)
    assert providers.network.sent_messages == []
