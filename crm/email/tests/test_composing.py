from __future__ import annotations

from uuid import uuid4

import pytest

from crm.email.enums import MessageState, SkipReason, SuppressionReason
from crm.email.models import EmailMessage, InboundEmail, SendBatch
from crm.email.services.composing import ComposeError, paragraphs, send_to_contact
from crm.email.services.sending import send_singles
from crm.email.services.settling import accept_batch, log_batch
from crm.email.services.suppressing import suppress
from crm.email.tests.mailroom import make_template
from crm.models import Interaction
from crm.tests.factories import make_contact
from sandbox.sendgrid.faults import Fault, Kind
from tenants.context import entered


@pytest.fixture
def ann(in_alice):
    return make_contact("Ann", contact_email="ann@example.com")


def test_a_letter_arrives_as_it_was_written(ann, owner, providers, bob):
    message = send_to_contact(contact=ann, subject=" Your \n offer ", text="Dear Ann,\n\n2 < 3.\nBye", by=owner)

    assert send_singles(message_id=message.pk) is None

    letter = providers.mail.to("ann@example.com").letter()
    assert (letter.subject, letter.text) == ("Your offer", "Dear Ann,\n\n2 < 3.\nBye")
    assert letter.html == "<p>Dear Ann,</p>\n<p>2 &lt; 3.<br>Bye</p>"
    assert letter.headers == {}  # one person wrote to one other
    message.refresh_from_db()
    assert (message.state, message.user) == (MessageState.SENT, owner.pk)
    with entered(bob):
        assert EmailMessage.objects.count() == 0


def test_braces_in_a_letter_are_braces(ann, providers):
    message = send_to_contact(contact=ann, subject="{{ contact_name }}", text="{% if %}", by=None)

    send_singles(message_id=message.pk)

    assert providers.mail.to("ann@example.com").letter().subject == "{{ contact_name }}"


def test_a_second_click_sends_nothing_twice(in_alice, ann, bob):
    key, version = uuid4(), make_template().current
    ben = make_contact("Ben", contact_email="ben@example.com")

    first = send_to_contact(contact=ann, subject="Hi", text="Hi", key=key, by=None)

    assert send_to_contact(contact=ann, subject=" Hi ", text="Hi\r\n", key=key, by=None) == first
    others = [
        send_to_contact(contact=ann, subject="Hi", text="Something else", key=key, by=None),  # back, changed, and sent
        send_to_contact(contact=ann, version=version, key=key, by=None),
        send_to_contact(contact=ben, subject="Hi", text="Hi", key=key, by=None),
        send_to_contact(contact=ann, subject="Hi", text="Hi", key=uuid4(), by=None),
        send_to_contact(contact=ann, subject="Hi", text="Hi", by=None),
    ]
    assert send_to_contact(contact=ann, version=version, key=key, by=None) == others[1]
    assert EmailMessage.objects.count() == 6 == len({first, *others})
    with entered(bob):
        assert EmailMessage.objects.count() == 0


def test_a_template_may_be_used(ann, providers):
    message = send_to_contact(contact=ann, version=make_template().current, subject="", by=None)

    send_singles(message_id=message.pk)

    assert providers.mail.to("ann@example.com").letter().subject == "News for Ann"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"contact_email": ""}, SkipReason.NO_ADDRESS),
        ({"contact_email": "a@example.com", "do_not_mail": True}, SkipReason.DO_NOT_MAIL),
        ({"contact_email": "gone@example.com"}, SkipReason.BOUNCED),
    ],
)
def test_who_may_not_be_written_to(in_alice, values, reason):
    suppress(address="gone@example.com", reason=SuppressionReason.BOUNCED)

    with pytest.raises(ComposeError) as caught:
        send_to_contact(contact=make_contact("Ann", **values), subject="Hi", text="Hi", by=None)

    assert (caught.value.reason, str(caught.value)) == (reason, f"Ann cannot be written to: {reason.label}.")
    assert EmailMessage.objects.count() == 0


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"subject": " ", "text": "x"}, "subject"),
        ({"subject": "x" * 401, "text": "x"}, "subject"),
        ({"subject": "x", "text": " \n"}, "text"),
        ({"subject": "x", "html": "<p> </p>"}, "text"),
        ({"subject": "x", "text": "x" * 200_001}, "text"),
    ],
)
def test_what_cannot_be_sent(ann, values, field):
    with pytest.raises(ComposeError) as caught:
        send_to_contact(contact=ann, by=None, **values)
    assert caught.value.field == field


def test_without_a_way_of_sending(ann, settings):
    settings.EMAIL_IS_DELIVERED = False
    with pytest.raises(ComposeError, match="no way of sending"):
        send_to_contact(contact=ann, subject="Hi", text="Hi", by=None)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("One", "<p>One</p>"),
        ("One\nTwo\n\n\nThree", "<p>One<br>Two</p>\n<p>Three</p>"),
        ("<b>&", "<p>&lt;b&gt;&amp;</p>"),
        (
            "See https://a.example/?x=1&y=2",
            '<p>See <a href="https://a.example/?x=1&amp;y=2">https://a.example/?x=1&amp;y=2</a></p>',
        ),
    ],
)
def test_plain_text_as_html(text, html):
    assert paragraphs(text) == html


# --- answering, and letters that do not arrive -------------------------------------------------------------------------


def test_an_answer_names_what_it_answers(ann, owner, providers):
    question = InboundEmail.objects.create(
        provider_id="x", header_id="<question@example.com>", contact=ann, from_email="ann@example.com", from_index="x"
    )

    message = send_to_contact(contact=ann, subject="Re: A question", text="Yes.", answers=question, by=owner)
    send_singles(message_id=message.pk)

    headers = providers.mail.to("ann@example.com").letter().headers
    assert (headers["In-Reply-To"], headers["References"]) == ("<question@example.com>", "<question@example.com>")


def entries():
    return list(Interaction.objects.filter(kind="email").values_list("subject", "metadata__state"))


def test_a_letter_that_is_not_sent_after_all_is_said_on_the_timeline(ann, owner, providers):
    message = send_to_contact(contact=ann, subject="Offer", text="Dear Ann", by=owner)
    suppress(address="ann@example.com", reason=SuppressionReason.BOUNCED)

    send_singles(message_id=message.pk)

    assert entries() == [("Offer", "skipped")]


def test_a_letter_nobody_answered_for_is_there_as_unknown_and_then_as_sent(ann, owner, providers):
    message = send_to_contact(contact=ann, subject="Offer", text="Dear Ann", by=owner)
    providers.mail.faults.order(Fault(Kind.DROP))

    send_singles(message_id=message.pk)
    assert entries() == [("Offer", "unknown")]

    batch = SendBatch.objects.get()
    accept_batch(batch.pk)
    log_batch(batch_id=batch.pk)
    assert entries() == [("Offer", "sent")]
