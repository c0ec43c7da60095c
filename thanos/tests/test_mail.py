"""The product's own e-mail by the provider: into the outbox, with links that lead where they say."""

from __future__ import annotations

import pytest
import requests
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from thanos.mail import MailError, request_of


@pytest.fixture
def by_provider(providers, settings):
    settings.EMAIL_BACKEND = "thanos.mail.ProviderBackend"
    return providers


def test_an_invitation_is_in_the_outbox_and_its_link_works(by_provider, visit, owner, django_capture_on_commit_callbacks):
    client = visit(owner)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/settings/people/invite/", {"email": "new@alice.test", "role": "member"})

    [posting] = by_provider.mail.postings
    assert "new@alice.test" in requests.get(f"{by_provider.url}/sandbox/mail", timeout=5).text
    page = client.get("/settings/people/").content.decode()
    link = page.split('value="https://alice.test')[1].split('"')[0]
    assert f"https://alice.test{link}" in str(posting.body())
    assert visit().get(link).status_code == 200


def test_what_the_provider_refuses_is_told_where_it_was_asked_for(
    by_provider, visit, owner, django_capture_on_commit_callbacks
):
    by_provider.mail.senders.clear()
    client = visit(owner)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post("/settings/people/invite/", {"email": "new@alice.test", "role": "member"}, follow=True)
    page = client.get("/settings/people/").content.decode()

    assert response.status_code == 200
    assert "not e-mailed" in page and "https://alice.test/join/" in page


def test_a_refusal_is_an_error_unless_silence_is_asked_for(by_provider, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "wrong")

    with pytest.raises(MailError):
        mail.send_mail("Subject", "Text", None, ["somebody@example.com"])
    assert mail.send_mail("Subject", "Text", None, ["somebody@example.com"], fail_silently=True) == 0
    with by_provider.away(), pytest.raises(MailError, match="does not answer"):
        mail.send_mail("Subject", "Text", None, ["somebody@example.com"])


def test_the_mail_server_is_asked_when_the_provider_refuses(by_provider, settings, monkeypatch):
    from django.core.mail.backends import smtp

    taken: list[str] = []
    monkeypatch.setattr(settings.ENV, "email_url", "smtp://mail.test")
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "wrong")
    monkeypatch.setattr(smtp.EmailBackend, "send_messages", lambda self, messages: taken.extend(messages[0].to) or 1)

    assert mail.send_mail("Subject", "Text", None, ["somebody@example.com"]) == 1
    assert taken == ["somebody@example.com"]


def test_a_message_in_the_providers_words():
    message = EmailMultiAlternatives(
        "Hello",
        "Plain",
        "Ann <ann@example.com>",
        ["Bob <bob@example.com>"],
        bcc=["c@example.com"],
        reply_to=["r@example.com"],
    )
    message.attach_alternative("<p>Rich</p>", "text/html")
    message.attach("note.txt", "text", "text/plain")

    found = request_of(message)

    assert found["personalizations"] == [
        {"to": [{"email": "bob@example.com", "name": "Bob"}], "bcc": [{"email": "c@example.com"}]}
    ]
    assert [content["type"] for content in found["content"]] == ["text/plain", "text/html"]
    assert found["reply_to"] == {"email": "r@example.com"}
    assert found["attachments"][0]["content"] == "dGV4dA=="
    assert found["tracking_settings"]["click_tracking"] == {"enable": False}, "else resetting a password leads elsewhere"
