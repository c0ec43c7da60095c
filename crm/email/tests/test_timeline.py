"""Sent messages on contacts' timelines."""

from datetime import timedelta

import pytest
from django.template import Context, Template

from crm.email.enums import MessageState
from crm.email.models import EmailMessage, EmailTemplate, EmailTemplateVersion, Mailing
from crm.email.services import timeline
from crm.email.services.timeline import as_text, bring_up_to_date, log_sent
from crm.email.tests.news import NOW, SENT, make_message
from crm.hooks.enums import Event
from crm.hooks.models import WebhookDelivery
from crm.hooks.tests.factories import make_endpoint
from crm.models import Contact, Interaction
from crm.services.merging import merge_contacts
from crm.tests.factories import make_contact
from tenants.context import entered


def make_version(**values):
    template = EmailTemplate.objects.create(name="Offer")
    defaults = {
        "number": 1,
        "subject": "An offer for {{ contact_name }}",
        "html": '<p>Hello <b>{{ contact_name }}</b>, <a href="{{ unsubscribe_url }}">enough</a>?</p>',
        "variables": ["contact_name", "unsubscribe_url"],
    }
    return EmailTemplateVersion.objects.create(template=template, **{**defaults, **values})


def entries():
    return list(Interaction.objects.filter(kind="email").order_by("pk"))


def test_a_letter_is_one_entry_with_its_words(alice, bob, in_alice, owner):
    message = make_message(user=owner.pk)

    assert log_sent(message_ids=[message.pk]) == 1

    [entry] = entries()
    assert (entry.contact_id, entry.subject, entry.content) == (
        message.contact_id,
        "Your appointment",
        "See you on Thursday.",
    )
    assert (entry.user_id, entry.interaction_date, entry.natural_key) == (owner.pk, SENT, f"email:{message.pk}")
    assert entry.metadata == {"email": str(message.pk), "direction": "out", "state": "sent"}
    assert Contact.objects.get().last_interaction_at == SENT
    with entered(bob):
        assert entries() == []


def test_twice_is_once(in_alice):
    message = make_message()

    assert [log_sent(message_ids=[message.pk, str(message.pk)]) for _ in range(3)] == [1, 0, 0]
    assert len(entries()) == 1


def test_nothing_and_what_is_gone_log_nothing(in_alice):
    message = make_message()
    pk = message.pk
    message.delete()

    assert log_sent(message_ids=[]) == log_sent(message_ids=[pk]) == 0


@pytest.mark.parametrize("state", ["queued", "claimed", "skipped", "canceled", "failed"])
def test_what_was_not_handed_over_is_on_nobodys_timeline(in_alice, state):
    assert log_sent(message_ids=[make_message(state=state).pk]) == 0


def test_a_message_without_contact_is_on_nobodys_timeline(in_alice):
    message = make_message()
    EmailMessage.objects.update(contact=None)

    assert log_sent(message_ids=[message.pk]) == 0


def test_a_templates_words_are_those_of_each_recipient_without_their_links(in_alice):
    version = make_version()
    mailing = Mailing.objects.create(name="Autumn", version=version)
    messages = [
        make_message(make_contact(name, contact_email=f"{name}@example.com"), version=version, mailing=mailing,
                     values={"contact_name": name}, subject="", text="")
        for name in ("Ann", "Ben")
    ]  # fmt: skip

    assert log_sent(message_ids=[one.pk for one in messages]) == 2

    found = {entry.contact.contact_name: entry for entry in entries()}
    assert {name: entry.subject for name, entry in found.items()} == {
        "Ann": "An offer for Ann",
        "Ben": "An offer for Ben",
    }
    assert "Hello Ann" in found["Ann"].content and "…" in found["Ann"].content and "<" not in found["Ann"].content
    assert found["Ben"].metadata["mailing"] == mailing.pk


@pytest.mark.parametrize("broken", [{"subject": "{{ no_such_name }}"}, {"html": "{% if %}"}])
def test_what_cannot_be_rendered_is_an_entry_without_words(in_alice, broken):
    message = make_message(version=make_version(**broken), values={"contact_name": "Ann"}, subject="", text="")

    assert log_sent(message_ids=[message.pk]) == 1
    assert (entries()[0].subject, entries()[0].content) == ("", "")


def test_a_letter_in_html_only_is_shown_as_text_whatever_it_contains(in_alice):
    message = make_message(text="", html="<p>Hello {{ contact_name }} {% raw %}</p><script>x</script>")

    log_sent(message_ids=[message.pk])

    assert entries()[0].content == "Hello {{ contact_name }} {% raw %}"
    assert as_text("") == ""


def test_who_was_merged_meanwhile_has_it_on_the_timeline_of_who_stayed(in_alice, owner):
    first, second, third = (make_contact(name, contact_email="ann@example.com") for name in ("A", "B", "C"))
    message = make_message(first)
    merge_contacts(kept=second, merged=first, take={}, by=owner)
    merge_contacts(kept=third, merged=second, take={}, by=owner)
    EmailMessage.objects.update(contact=first)  # even where nothing moved the message

    log_sent(message_ids=[message.pk])

    assert [entry.contact_id for entry in entries()] == [third.pk]
    third.refresh_from_db()
    assert third.last_interaction_at == SENT


def test_what_became_of_it_before_it_was_logged_is_there(in_alice):
    message = make_message(state=MessageState.DELIVERED, delivered_at=NOW, opened_at=NOW, open_count=2)

    log_sent(message_ids=[message.pk])

    metadata = entries()[0].metadata
    assert (metadata["state"], metadata["open_count"]) == ("delivered", 2)
    assert metadata["opened_at"].startswith("2026-11-20T12:00:00") and "clicked_at" not in metadata


def test_bringing_up_to_date_writes_only_what_is_different(in_alice):
    message, other = make_message(), make_message()
    log_sent(message_ids=[message.pk, other.pk])
    EmailMessage.objects.filter(pk=message.pk).update(state=MessageState.DELIVERED, delivered_at=NOW)

    ids = [message.pk, other.pk]
    assert bring_up_to_date(message_ids=ids) == {message.pk: message.contact_id}
    assert bring_up_to_date(message_ids=ids) == {}
    assert bring_up_to_date(message_ids=[]) == {}


def test_what_people_changed_about_the_entry_stays(in_alice):
    message = make_message()
    log_sent(message_ids=[message.pk])
    Interaction.objects.update(subject="Renamed", metadata={**entries()[0].metadata, "mine": 1})
    EmailMessage.objects.update(state=MessageState.BOUNCED, bounced_at=NOW)

    bring_up_to_date(message_ids=[message.pk])

    entry = entries()[0]
    assert (entry.subject, entry.metadata["mine"], entry.metadata["state"]) == ("Renamed", 1, "bounced")


def test_other_programs_are_told_of_each_entry_once(in_alice):
    make_endpoint(events=[Event.INTERACTION_ADDED])
    messages = [make_message() for _ in range(3)]

    for _ in range(2):
        log_sent(message_ids=[one.pk for one in messages])

    assert WebhookDelivery.objects.count() == 3
    assert WebhookDelivery.objects.first().payload["kind"] == "email"


def test_many_are_logged_in_pieces_with_few_questions(in_alice, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(timeline, "CHUNK", 30)
    version = make_version()
    contacts = [make_contact(f"P {n}", contact_email=f"p{n}@example.com") for n in range(60)]
    messages = [
        make_message(one, version=version, values={"contact_name": one.contact_name}, subject="", text="")
        for one in contacts
    ]

    with django_assert_max_num_queries(40):
        assert log_sent(message_ids=[one.pk for one in messages]) == 60

    assert {entry.subject for entry in entries()} == {f"An offer for P {n}" for n in range(60)}


def test_entries_are_encrypted(in_alice):
    from django.db import connection

    log_sent(message_ids=[make_message().pk])

    with connection.cursor() as cursor:
        cursor.execute("SELECT content FROM crm_interaction")
        assert "Thursday" not in cursor.fetchone()[0]


def test_an_entry_counts_as_having_been_in_touch_only_if_it_is_the_last(in_alice):
    contact = make_contact(contact_email="ann@example.com")
    log_sent(message_ids=[make_message(contact).pk])
    log_sent(message_ids=[make_message(contact, sent_at=SENT - timedelta(days=3)).pk])

    contact.refresh_from_db()
    assert contact.last_interaction_at == SENT


# --- how an entry looks ------------------------------------------------------------------------------------------------


def shown(entry):
    return Template("{% load email_entries %}{% email_entry entry %}").render(Context({"entry": entry}))


def test_a_sent_one_says_what_became_of_it_and_leads_to_the_message(in_alice):
    message = make_message(state=MessageState.DELIVERED, opened_at=NOW, open_count=3)
    log_sent(message_ids=[message.pk])

    page = shown(entries()[0])

    assert "Delivered" in page and "opened 3 times" in page and "clicked" not in page
    assert f"/crm/email/messages/{message.pk}/" in page
    assert "See you on Thursday." in page


def test_an_answer_shows_what_was_said_and_folds_the_history(in_alice):
    contact = make_contact()
    entry = Interaction.objects.create(
        contact=contact,
        kind="email",
        content="Yes, <b>please</b>.\n\nOn Mon, 1 Jan 2026, A <a@b.c> wrote:\n> Would you?",
        metadata={"direction": "in", "automatic": True, "authenticated": False, "files_refused": 2},
    )

    page = shown(entry)

    said, _, history = page.partition("<details")
    assert "Yes, &lt;b&gt;please&lt;/b&gt;." in said and "Would you?" not in said
    assert "&gt; Would you?" in history
    assert "Automatic answer" in page and "not confirmed" in page and "2 files" in page


@pytest.mark.parametrize(
    "metadata",
    [
        {"direction": "out", "email": "not-an-id", "state": "no-such-state", "open_count": "many"},
        {"direction": "out"},
        {"direction": "in", "in_reply_to": 5},
        {},
    ],
)
def test_odd_metadata_breaks_no_page(in_alice, metadata):
    entry = Interaction.objects.create(contact=make_contact(), kind="email", content="Words", metadata=metadata)

    assert "Words" in shown(entry)
