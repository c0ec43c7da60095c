"""A letter to one contact, and the page of a message."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest

from crm.email.enums import MailingState, MessageState, SkipReason
from crm.email.models import EmailMessage, EmailSettings, EmailTemplate, InboundEmail
from crm.email.services.queueing import queue_message
from crm.email.tests.mailing_factories import (
    NOON,
    make_batch,
    make_event,
    make_mailing,
    make_message,
    make_suppression,
    make_template,
)
from crm.models import Contact
from crm.services.interactions import add_interaction
from crm.tests.factories import make_contact
from tenants.context import entered


@pytest.fixture
def ann(alice):
    with entered(alice):
        return make_contact("Ann Example", contact_email="ann@example.com")


@pytest.fixture
def template(alice):
    with entered(alice):
        return make_template("News", html='<p>Hello {{ contact_name }}</p><p><a href="{{ unsubscribe_url }}">Off</a></p>')


@pytest.fixture
def client(visit, owner):
    return visit(owner)


def at(contact):
    return f"/crm/email/compose/{contact.pk}/"


def plain(answer):
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def sent(tenant):
    with entered(tenant):
        return list(EmailMessage.objects.select_related("version"))


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_contacts_page_leads_to_a_letter_when_there_is_an_address(alice, client, ann):
    with entered(alice):
        nobody = make_contact("No Address")

    assert at(ann) in client.get(ann.get_absolute_url()).content.decode()
    assert "/crm/email/compose/" not in client.get(nobody.get_absolute_url()).content.decode()


def test_the_page_shows_from_whom_and_to_whom(client, ann):
    page = plain(client.get(at(ann)))

    assert "From Alice&#x27;s &lt;" in page
    assert "To ann@example.com" in page
    assert "Nothing yet." in page


def test_a_letter_is_sent_as_it_was_written(alice, client, ann, owner):
    answer = client.post(at(ann), {"subject": " Your  parcel ", "text": "Dear Ann,\n\nit is <here>."}, follow=True)

    (message,) = sent(alice)
    assert (message.contact_id, message.to_email, message.user) == (ann.pk, "ann@example.com", owner.pk)
    assert (message.subject, message.version, message.is_bulk) == ("Your parcel", None, False)
    assert "it is <here>." in message.text and "it is &lt;here&gt;." in message.html
    assert answer.redirect_chain == [(ann.get_absolute_url(), 302)]
    assert "On its way to Ann Example." in plain(answer)


def test_a_double_click_sends_one_letter(alice, client, ann, template):
    page = client.get(f"{at(ann)}?template={template.pk}").content.decode()
    written, designed = re.findall(r'name="key" value="([^"]*)"', page)
    assert written == designed
    assert written not in client.get(at(ann)).content.decode()

    for _ in range(2):
        letter = client.post(at(ann), {"subject": "Hi", "text": "Dear Ann", "key": written})
        as_designed = client.post(at(ann), {"template": template.pk, "as_designed": "yes", "key": designed})
        assert (letter.url, as_designed.url) == (ann.get_absolute_url(),) * 2

    assert sorted(message.subject for message in sent(alice)) == ["", "Hi"]


def test_a_key_that_is_none_is_explained(alice, client, ann):
    answer = client.post(at(ann), {"subject": "Hi", "text": "Dear Ann", "key": "nonsense"})

    assert (answer.status_code, "Enter a valid UUID." in plain(answer)) == (422, True)
    assert sent(alice) == []


@pytest.mark.parametrize("change", [{"subject": ""}, {"text": "  "}, {"subject": "x" * 401}, {"text": "x" * 100_001}])
def test_bad_letters_are_kept_and_explained(alice, client, ann, change):
    answer = client.post(at(ann), {"subject": "Hello", "text": "Dear Ann", **change})

    assert answer.status_code == 422
    assert "field__error" in answer.content.decode()
    assert "Dear Ann" in answer.content.decode() or "text" in change
    assert sent(alice) == []


def test_a_template_begins_the_letter_without_links_that_lead_nowhere(client, ann, template):
    page = client.get(f"{at(ann)}?template={template.pk}").content.decode()

    assert 'value="For Ann Example"' in page
    assert "Hello Ann Example" in page
    assert "unsubscribe_url" not in page and 'href="#"' not in page


def test_a_template_can_be_sent_as_it_is_designed(alice, client, ann, template):
    body = client.get(f"{at(ann)}preview/{template.pk}/")
    client.post(at(ann), {"template": template.pk, "as_designed": "yes"})

    assert "Hello Ann Example" in body.content.decode()
    assert body["Content-Security-Policy"].endswith("sandbox")
    (message,) = sent(alice)
    assert (message.version, message.values["contact_name"]) == (template.current, "Ann Example")


@pytest.mark.parametrize("wanted", ["nonsense", "999999", "-1", "²"])
def test_templates_that_are_not_there_begin_nothing(client, ann, template, wanted):
    assert 'value="For Ann' not in client.get(f"{at(ann)}?template={wanted}").content.decode()


def test_templates_that_are_off_are_not_offered(alice, client, ann, template):
    with entered(alice):
        EmailTemplate.objects.filter(pk=template.pk).update(is_active=False)

    page = client.get(f"{at(ann)}?template={template.pk}").content.decode()

    assert "For Ann" not in page and ">News<" not in page
    assert client.get(f"{at(ann)}preview/{template.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("values", "suppressed", "words"),
    [
        ({"contact_email": ""}, None, "No e-mail address"),
        ({"do_not_mail": True}, None, "Does not want mail"),
        ({}, "unsubscribed", "Unsubscribed"),
        ({}, "bounced", "Bounced before"),
        ({}, "spam", "Reported us as spam"),
    ],
)
def test_who_cannot_be_written_to_gets_no_form_and_no_letter(alice, client, values, suppressed, words):
    with entered(alice):
        contact = make_contact("Will Wish", **{"contact_email": "will@example.com", **values})
        if suppressed:
            make_suppression("will@example.com", suppressed)

    page = client.get(at(contact))
    answer = client.post(at(contact), {"subject": "Hello", "text": "Hello"})

    assert words in plain(page)
    assert 'name="subject"' not in page.content.decode()
    assert answer.status_code == 422
    assert sent(alice) == []


def test_another_tenants_wish_is_not_ours(alice, bob, client, ann):
    with entered(bob):
        make_suppression("ann@example.com", "unsubscribed")

    assert 'name="subject"' in client.get(at(ann)).content.decode()


def test_without_a_way_of_sending_there_is_no_form(alice, client, ann, settings):
    settings.EMAIL_IS_DELIVERED = False

    assert "No way of sending is configured" in plain(client.get(at(ann)))
    assert client.post(at(ann), {"subject": "Hello", "text": "Hello"}).status_code == 422
    assert sent(alice) == []


def test_what_was_sent_before_is_beside_it(alice, client, ann):
    with entered(alice):
        make_message(contact=ann, subject="Last week's letter", text="…")
        make_message(contact=make_contact("Else", contact_email="e@example.com"), subject="Somebody else's", text="…")

    page = plain(client.get(at(ann)))

    assert "Last week&#x27;s letter" in page
    assert "Somebody else" not in page


def test_contacts_that_are_gone_or_anothers_cannot_be_written_to(alice, bob, client, ann):
    with entered(bob):
        theirs = Contact.objects.create(pk=7_000_001, contact_name="Bob's own")
    with entered(alice):
        Contact.objects.filter(pk=ann.pk).update(deleted_at=NOON)

    for contact in (ann, theirs):
        assert client.get(at(contact)).status_code == 404
        assert client.post(at(contact), {"subject": "a", "text": "b"}).status_code == 404


# --- a message -------------------------------------------------------------------------------------------------------


def page_of(message):
    return f"/crm/email/messages/{message.pk}/"


def test_a_message_is_shown_as_the_recipient_saw_it(alice, client, ann):
    with entered(alice):
        template = make_template(html="<p>Hello {{ contact_name }}<script>alert(1)</script></p>")
        mailing = make_mailing(template=template, state=MailingState.DONE, footer_html="<p>The footer of that day</p>")
        message = make_message(mailing, contact=ann, values={"contact_name": "Ann of that day"})
        Contact.objects.filter(pk=ann.pk).update(contact_name="Ann of today")

    page, body = client.get(page_of(message)), client.get(f"{page_of(message)}body/")

    assert "For Ann of that day" in plain(page)
    assert "Hello Ann of that day" in body.content.decode() and "The footer of that day" in body.content.decode()
    assert body["Content-Security-Policy"].startswith("default-src 'none'")
    assert re.search(r"<iframe[^>]* sandbox ", page.content.decode())
    assert "<script>alert" not in page.content.decode()


def test_an_e_mail_of_a_sequence_is_shown_with_the_footer_of_that_day(alice, client, ann):
    with entered(alice):
        EmailSettings.objects.update(footer_html="<p>That day's {{ unsubscribe_url }}</p>")
        message = queue_message(contact=ann, version=make_template(html="<p>Hello</p>").current)
        EmailSettings.objects.update(footer_html="<p>Today's {{ organization_name }} {{ unsubscribe_url }}</p>")

    body = client.get(f"{page_of(message)}body/").content.decode()

    assert "That day's" in body and "Today's" not in body


def test_a_letter_by_hand_is_shown_as_it_was_written(alice, client, ann):
    with entered(alice):
        message = make_message(contact=ann, subject="Hello", text="<b>Plain</b> words")

    page = client.get(page_of(message)).content.decode()

    assert "&lt;b&gt;Plain&lt;/b&gt; words" in page
    assert "<iframe" not in page


def test_what_became_of_it_is_told_in_order(alice, client, ann):
    with entered(alice):
        message = make_message(contact=ann, subject="Hello", text="…", sent_at=NOON, open_count=2)
        make_event(message, "open", NOON + timedelta(minutes=5))
        make_event(message, "delivered", NOON + timedelta(minutes=1))
        make_event(message, "click", NOON + timedelta(minutes=6), url="https://acme.com/<x>")

    page = plain(client.get(page_of(message)))

    assert page.index("Handed over") < page.index("Delivered", page.index("Handed over")) < page.index("Opened")
    assert "https://acme.com/&lt;x&gt;" in page
    assert "Opened 2 times" in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": MessageState.UNKNOWN}, "It is not known whether it arrived."),
        ({"state": MessageState.BOUNCED, "error": "550 <no>"}, "550 &lt;no&gt;"),
        ({"state": MessageState.SKIPPED, "skip_reason": SkipReason.SPAM}, "It was not sent: reported us as spam"),
    ],
)
def test_each_state_is_explained(alice, client, ann, values, words):
    with entered(alice):
        message = make_message(contact=ann, subject="Hello", text="…", **values)

    assert words in plain(client.get(page_of(message)))


def test_a_message_whose_values_are_missing_says_so(alice, client, ann):
    with entered(alice):
        message = make_message(make_mailing(state=MailingState.DONE), contact=ann, values=None)

    assert "It cannot be shown" in plain(client.get(page_of(message)))
    assert client.get(f"{page_of(message)}body/").status_code == 404


def test_another_tenants_messages_are_not_found(bob, client):
    with entered(bob):
        message = make_message(subject="Bob's secret", text="…")

    for path in (page_of(message), f"{page_of(message)}body/", f"/crm/email/messages/{uuid.uuid4()}/"):
        assert client.get(path).status_code == 404


def test_an_unknown_fate_can_be_decided(alice, bob, client, ann):
    with entered(alice):
        message = make_message(contact=ann, subject="Hello", text="…", state=MessageState.UNKNOWN)

    page = client.post(f"{page_of(message)}resend/", follow=True)
    assert "It will be sent again." in plain(page)
    assert "It is not sent again" in plain(client.post(f"{page_of(message)}resend/", follow=True))

    assert [one.state for one in sent(alice)] == [MessageState.QUEUED]


def test_what_a_mail_server_took_is_not_said_to_have_arrived(alice, client, ann):
    with entered(alice):
        batch = make_batch(None, provider="smtp")
        message = make_message(contact=ann, subject="Hello", text="…", state=MessageState.SENT, batch=batch)

    assert "whether it arrived is unknown" in plain(client.get(page_of(message)))


def test_an_answer_begins_with_what_it_answers(alice, bob, client, ann):
    with entered(alice):
        entry = add_interaction(contact=ann, kind="email", subject="When?", content="When?", metadata={"direction": "in"})
        InboundEmail.objects.create(
            provider_id="x",
            header_id="<q@example.com>",
            contact=ann,
            interaction=entry,
            subject="When?",
            text="When are you open?",
            from_email="ann@example.com",
            from_index="x",
        )

    page = client.get(f"{at(ann)}?answers={entry.pk}").content.decode()
    assert 'value="Re: When?"' in page and "When are you open?" in page
    assert f"{at(ann)}?answers={entry.pk}" in client.get(ann.get_absolute_url()).content.decode()

    client.post(at(ann), {"subject": "Re: When?", "text": "At nine.", "answers": entry.pk})

    assert [one.in_reply_to for one in sent(alice)] == ["<q@example.com>"]


def test_nobody_elses_mail_can_be_answered(alice, client, ann):
    with entered(alice):
        other = make_contact("Ben", contact_email="ben@example.com")
        entry = add_interaction(contact=other, kind="email", subject="Secret", content="Secret")
        InboundEmail.objects.create(
            provider_id="x", contact=other, interaction=entry, subject="Secret", from_email="b@x.example", from_index="x"
        )

    for wanted in (entry.pk, "x", "9" * 30):
        assert "Secret" not in client.get(f"{at(ann)}?answers={wanted}").content.decode()
