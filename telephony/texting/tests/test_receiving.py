"""A text comes in: kept once, joined to its contact, on the timeline, unread; keywords are wishes."""

from __future__ import annotations

import pytest

from crm.models import Contact, Interaction
from crm.services.contacts import create_contact
from telephony.models import Line
from telephony.texting import tasks
from telephony.texting.enums import Consent, ConsentSource, State, Way
from telephony.texting.models import ConsentEvent, Conversation, Message
from telephony.texting.services.consent import has_opted_out
from telephony.texting.tests.factories import BASE, BOBS, OURS, THEIRS, incoming, post_to, receive, send
from tenants.context import entered
from tenants.models import AuditEvent, Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Do what was to be done after the commit, and then what a worker does with it."""

    def run(work):
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            response = work()
        with entered(Tenant.objects.get(domains__domain="alice.test")):
            waiting = list(Message.objects.filter(state=State.WAITING).values_list("pk", flat=True))
            assert len(callbacks) >= len(waiting)
            for pk in waiting:
                tasks.send.apply(kwargs={"message_id": pk})
        return response

    return run


def known(name="Ann", number=THEIRS, **values):
    phones = [{"label": "", "number": number}]
    return create_contact(values={"contact_name": name, "phones": phones, **values}, by=None)


def test_a_text_is_a_conversation_on_the_contacts_timeline(alice, bob):
    with entered(alice):
        ann = known()
    with entered(bob):
        known("Bob's Ann")

    response = receive("Do you open at nine? 🙂")

    assert (response.status_code, response["Content-Type"]) == (200, "text/xml")
    assert b"<Message" not in response.content
    with entered(alice):
        message = Message.objects.select_related("conversation__contact").get()
        conversation = message.conversation
        assert (message.way, message.state, message.text) == (Way.IN, State.RECEIVED, "Do you open at nine? 🙂")
        assert (conversation.own_number, conversation.other, conversation.contact) == (OURS, THEIRS, ann)
        assert conversation.is_unread and conversation.last_message_id == message.pk
        entry = Interaction.objects.get()
        assert (entry.contact, entry.kind, entry.content) == (ann, "sms", "Do you open at nine? 🙂")
        assert entry.metadata["thread"] == conversation.get_absolute_url() and entry.metadata["way"] == "in"
    with entered(bob):
        assert not Message.objects.exists() and not Interaction.objects.exists()


def test_numbers_and_words_are_stored_encrypted(alice):
    from django.db import connection

    receive("Kept secret")
    with entered(alice), connection.cursor() as cursor:
        cursor.execute("SELECT other || (SELECT text FROM telephony_texting_message) FROM telephony_texting_conversation")
        stored = cursor.fetchone()[0]
    assert "5557001" not in stored and "secret" not in stored


def test_the_same_webhook_twice_is_one_message(alice):
    form = incoming("Once")
    assert [post_to(BASE + "incoming-sms", form).status_code for _ in range(3)] == [200] * 3
    with entered(alice):
        assert Message.objects.count() == Interaction.objects.count() == Contact.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, {"X-Twilio-Signature": "bm8="}])
@pytest.mark.parametrize("name", ["incoming-sms", "sms-status"])
def test_without_a_signature_nothing_is_taken(alice, name, headers):
    assert post_to(BASE + name, incoming(), headers=headers).status_code == 403
    with entered(alice):
        assert not Message.objects.exists()


def test_a_stranger_becomes_a_lead_where_the_line_wants_that(alice):
    receive("Hello")
    with entered(alice):
        lead = Contact.objects.get()
        assert (lead.phone, lead.source) == (THEIRS, "text message")
        Contact.objects.all().delete()
        Line.objects.update(creates_leads=False)
    receive("Hello", From="+15557002")
    with entered(alice):
        assert not Contact.objects.exists()
        assert Conversation.objects.with_number("+15557002").get().contact is None


@pytest.mark.parametrize(("written", "sent"), [("+5491123456789", "+541123456789"), ("+525512345678", "+5215512345678")])
def test_another_spelling_of_a_mobile_is_the_same_contact_and_conversation(alice, written, sent):
    with entered(alice):
        ann = known(number=written)
    receive("one", From=sent)
    receive("two", From=written)
    with entered(alice):
        assert Conversation.objects.get().contact == ann and Contact.objects.count() == 1


@pytest.mark.parametrize("sender", ["MYBANK", "12345", "whatsapp:+15557001", "", "\x00\x01", "x" * 500])
def test_a_sender_that_is_no_number_is_kept_and_makes_no_lead(alice, sender):
    assert receive("Your code is 1", From=sender).status_code == 200
    with entered(alice):
        assert not Conversation.objects.get().can_be_answered and not Contact.objects.exists()


def test_pictures_are_named_and_never_fetched(alice, providers):
    media = {f"MediaContentType{n}": kind for n, kind in enumerate(["image/jpeg", "image/png", "../../x", "text/vcard"])}
    receive("", NumMedia="4", MediaUrl0=f"{providers.url}/sandbox", **media)
    with entered(alice):
        message = Message.objects.get()
        assert message.media == ["image/jpeg", "image/png", "application/octet-stream", "text/vcard"]
        assert message.pictures == "2 pictures, 2 files"
        assert Interaction.objects.get().content == "2 pictures, 2 files"


@pytest.mark.parametrize("count", ["-1", "9999999", "abc", "", "²"])
def test_a_count_of_media_that_makes_no_sense_is_bounded(alice, count):
    assert receive("x", NumMedia=count).status_code == 200
    with entered(alice):
        assert len(Message.objects.get().media) <= 10


@pytest.mark.parametrize("changes", [{"To": "+15550999"}, {"To": ""}, {"To": "alice"}])
def test_a_text_for_nobody_is_answered_with_nothing(alice, changes):
    assert receive("Hello", **changes).status_code == 200
    with entered(alice):
        assert not Message.objects.exists()


@pytest.mark.parametrize("name", ["", "SM/../1", "x" * 65, "SM\x00"])
def test_a_text_without_a_name_is_refused(alice, name):
    assert receive("Hello", MessageSid=name).status_code == 400


def test_hostile_text_is_made_valid(alice):
    assert receive("a\x00b\ud83d\x0bc".encode("utf-16", "surrogatepass").decode("utf-16", "replace")).status_code == 200
    with entered(alice):
        assert "\x00" not in Message.objects.get().text


# --- wishes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["STOP", "stop", " Stop. ", "UNSUBSCRIBE", "cancel", "End", "QUIT!", "Revoke", "opt out"])
def test_stop_in_any_shape_is_an_opt_out(alice, bob, committed, providers, word):
    committed(lambda: receive(word))
    with entered(alice):
        event = ConsentEvent.objects.get()
        assert (event.consent, event.source, event.number) == (Consent.STOP, ConsentSource.TEXT, THEIRS)
        assert has_opted_out(THEIRS)
        assert send("Still there?").refusal == "opted-out"
        assert not Contact.objects.exists()  # a stranger who wants to be left alone is no lead
    with entered(bob):
        assert not has_opted_out(THEIRS)


def test_stop_is_confirmed_once_and_in_the_organizations_words(alice, committed, providers):
    for _ in range(3):
        committed(lambda: receive("STOP"))
    (sent,) = providers.network.sent_messages
    assert (sent["To"], sent["From"]) == (THEIRS, OURS) and alice.name in sent["Body"]


def test_where_the_carrier_answers_we_do_not(alice, committed, providers):
    for word in ("STOP", "START", "HELP"):
        committed(lambda word=word: receive("whatever they wrote", OptOutType=word))
    assert providers.network.sent_messages == []
    with entered(alice):
        assert list(ConsentEvent.objects.order_by("id").values_list("consent", flat=True)) == ["stop", "start"]


def test_start_takes_it_back_for_texts_alone(alice, committed, providers):
    with entered(alice):
        ann = known()
    receive("stop")
    receive("start")
    with entered(alice):
        assert not has_opted_out(THEIRS)
        assert send().state == State.QUEUED
        Contact.objects.filter(pk=ann.pk).update(do_not_call_at="2026-01-01T00:00Z", do_not_call_source="call")
    receive("stop")
    receive("start")
    with entered(alice):
        assert send().refusal == "do-not-contact"


def test_yes_is_an_answer_unless_they_had_stopped(alice):
    receive("Yes")
    with entered(alice):
        assert not ConsentEvent.objects.exists()
    receive("stop")
    receive("YES")
    with entered(alice):
        assert not has_opted_out(THEIRS)


def test_help_is_answered_now_and_then(alice, committed, providers):
    for _ in range(3):
        committed(lambda: receive("HELP"))
    assert len(providers.network.sent_messages) == 1


def test_a_wish_is_in_the_audit_trail_with_its_source_and_without_the_number(alice, bob):
    receive("Stop")
    (event,) = AuditEvent.objects.filter(action="do-not-contact")
    assert event.tenant == alice and "written in a text message" in event.target and "7001" not in event.target


def test_words_are_the_organizations_own(alice, committed, providers):
    from telephony.texting.services.setup import texting_settings

    with entered(alice):
        settings = texting_settings()
        settings.stop_words, settings.stop_text = ["ARRÊT"], ""
        settings.save()
    committed(lambda: receive("arrêt"))
    with entered(alice):
        assert has_opted_out(THEIRS)
    assert providers.network.sent_messages == []


def test_a_text_to_bob_is_bobs(alice, bob):
    receive("For Bob", To=BOBS)
    with entered(alice):
        assert not Message.objects.exists()
    with entered(bob):
        assert Message.objects.get().text == "For Bob"
