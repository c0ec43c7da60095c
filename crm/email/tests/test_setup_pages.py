"""Settings of e-mail: what is kept, what is refused, and what is said of the way of sending."""

from __future__ import annotations

import re

import pytest
from django.forms.models import model_to_dict

from crm.email.enums import DomainState
from crm.email.models import EmailDomain, EmailSettings
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent

PAGE = "/settings/email/"


@pytest.fixture
def client(visit, owner):
    return visit(owner)


@pytest.fixture
def form(alice):
    """What the page would send unchanged."""
    with entered(alice):
        values = model_to_dict(EmailSettings.objects.get(), exclude=["id"])
    return {name: value for name, value in values.items() if value not in (None, False)}


def plain(answer):
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def kept(tenant):
    with entered(tenant):
        return EmailSettings.objects.get()


def test_every_setting_is_on_the_page(client, form):
    page = client.get(PAGE).content.decode()

    names = {field.name for field in EmailSettings._meta.fields} - {"id"}
    assert {name for name in names if f'name="{name}"' in page} == names


def test_settings_are_kept_for_this_organisation_alone(alice, bob, client, form, owner):
    answer = client.post(
        PAGE, {**form, "from_name": "Alice & Co", "from_local_part": "News", "morning_hour": "9", "language": "pt-br"}
    )

    assert answer.url == PAGE
    ours, theirs = kept(alice), kept(bob)
    assert (ours.from_name, ours.from_local_part, ours.morning_hour) == ("Alice & Co", "news", 9)
    assert (ours.language, theirs.language) == ("pt-br", "en")
    assert (theirs.from_name, theirs.morning_hour) == ("", 8)
    assert AuditEvent.objects.filter(action=AuditAction.SETTINGS_CHANGED, target="e-mail", actor=owner).count() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"from_local_part": ""}, "This field is required."),
        ({"from_local_part": "two words"}, "Letters, digits, dots"),
        ({"from_local_part": "hello@acme.com"}, "Letters, digits, dots"),
        ({"from_local_part": "käse"}, "Letters, digits, dots"),
        ({"from_local_part": ".hello"}, "A dot stands between"),
        ({"reply_to": "nonsense"}, "Enter a valid email address."),
        ({"morning_hour": "4"}, "greater than or equal to 5"),
        ({"morning_hour": "12"}, "less than or equal to 11"),
        ({"messages_per_minute": "0"}, "greater than or equal to 1"),
        ({"pause_at_bounce_percent": "101"}, "less than or equal to 100"),
        ({"footer_html": ""}, "This field is required."),
        ({"footer_html": "<p>{{ unsubscribe_url"}, "Line 1"),
        ({"footer_html": "<p>{{ nonsense }} {{ unsubscribe_url }}</p>"}, "nonsense"),
        ({"footer_html": "<p>Goodbye</p>"}, "There is no way out of it"),
        ({"footer_html": "{# {{ unsubscribe_url }} #}<p>Goodbye</p>"}, "There is no way out of it"),
        ({"unsubscribe_label": ""}, "This field is required."),
        ({"too_often_text": ""}, "This field is required."),
        ({"language": "tlh"}, "Select a valid choice."),
    ],
)
def test_bad_settings_are_explained_and_not_kept(alice, client, form, change, words):
    before = model_to_dict(kept(alice))

    answer = client.post(PAGE, {**form, **change})

    assert answer.status_code == 422
    assert words in plain(answer)
    assert model_to_dict(kept(alice)) == before


def test_a_footer_with_either_way_out_is_kept(alice, client, form):
    footer = '<p><a href="{{ preferences_url }}">Preferences of {{ organization_name }}</a></p>'

    client.post(PAGE, {**form, "footer_html": footer})

    assert kept(alice).footer_html == footer


def test_a_mail_server_is_said_to_tell_nothing(client):
    page = plain(client.get(PAGE))

    assert "A mail server (SMTP)" in page
    assert "a plain mail server does not report it" in page
    assert "go to owner@alice.test" in page


def test_the_provider_is_said_to_tell_everything(client, settings):
    settings.ENV.sendgrid_api_key, before = "SG.key", settings.ENV.sendgrid_api_key
    settings.ENV.inbound_email_host, host = "replies.test", settings.ENV.inbound_email_host
    try:
        page = plain(client.get(PAGE))
    finally:
        settings.ENV.sendgrid_api_key, settings.ENV.inbound_email_host = before, host

    assert "SendGrid" in page and "reported: deliveries, bounces, opens and clicks" in page
    assert "come to the contact's timeline, by way of replies.test" in page
    assert "SG.key" not in page


def test_nothing_to_send_with_is_said(client, settings):
    settings.EMAIL_IS_DELIVERED = False

    assert "no way of sending is configured" in plain(client.get(PAGE))


def test_the_sender_is_the_verified_domain_when_there_is_one(alice, bob, client):
    with entered(bob):
        EmailDomain.objects.create(domain="bobs.example", state=DomainState.VERIFIED)
    before = plain(client.get(PAGE))
    with entered(alice):
        EmailDomain.objects.create(domain="alices.example", state=DomainState.VERIFIED)

    after = plain(client.get(PAGE))

    assert "a verified domain of yours takes its place" in before and "bobs.example" not in before
    assert "hello@alices.example" in after and "takes its place" not in after


def test_members_and_strangers_see_and_change_nothing(alice, visit, member, stranger, form):
    for user, code in ((member, 403), (stranger, 404)):
        assert visit(user).get(PAGE).status_code == code
        assert visit(user).post(PAGE, {**form, "from_name": "Mallory"}).status_code == code

    assert kept(alice).from_name == ""
