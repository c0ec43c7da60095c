"""What recipients see and decide without signing in."""

import re

import pytest
from django.core.cache import cache
from django.test import Client
from redis.exceptions import RedisError

from crm.email.enums import SuppressionReason
from crm.email.models import EmailMessage, EmailSettings, Suppression
from crm.email.services import links
from crm.email.services.preferences import preferences_of
from crm.email.services.suppressing import suppress
from crm.email.services.timeline import log_sent
from crm.email.tests.news import make_message
from crm.enums import FactSource
from crm.hooks.enums import Event
from crm.hooks.models import WebhookDelivery
from crm.hooks.tests.factories import make_endpoint
from crm.models import Contact, Interaction
from crm.services.contacts import update_contact
from tenants.context import entered

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def message(alice):
    with entered(alice):
        return make_message()


@pytest.fixture
def theirs(bob):
    with entered(bob):
        return make_message()


@pytest.fixture
def client():
    """A recipient's browser, at whatever host the link names; strict about CSRF as browsers meet it."""
    return Client(headers={"host": "mail.example"}, enforce_csrf_checks=True)


def path(tenant, message, page="u"):
    with entered(tenant):
        url = {"u": links.unsubscribe_url, "p": links.preferences_url}[page](message.pk)
    return url.removeprefix("https://calls.example")


def standing(tenant):
    with entered(tenant):
        return sorted(Suppression.objects.standing().values_list("reason", flat=True))


def test_one_click_unsubscribes_at_once(alice, bob, message, theirs, client):
    response = client.post(path(alice, message), ONE_CLICK)

    assert (response.status_code, response.content) == (200, b"")
    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]
    assert standing(bob) == []
    with entered(alice):
        message.refresh_from_db()
        contact = Contact.objects.get()
        assert message.unsubscribed_at is not None
        assert contact.do_not_mail_source == FactSource.EMAIL and contact.do_not_call_at is None
        assert Interaction.objects.get(kind="note").metadata == {"email": str(message.pk)}
    with entered(bob):
        assert Contact.objects.get().do_not_mail_at is None


def test_mail_programs_may_post_in_several_parts_or_urlencoded(alice, message, client):
    body = "List-Unsubscribe=One-Click"
    response = client.post(path(alice, message), body, content_type="application/x-www-form-urlencoded")

    assert response.status_code == 200
    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]


def test_once_more_changes_nothing(alice, message, client):
    with entered(alice):
        make_endpoint(events=[Event.EMAIL_UNSUBSCRIBED])

    assert [client.post(path(alice, message), ONE_CLICK).status_code for _ in range(3)] == [200] * 3

    with entered(alice):
        assert Suppression.objects.count() == Interaction.objects.count() == WebhookDelivery.objects.count() == 1


@pytest.mark.parametrize("page", ["u", "p"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_unsubscribes_nobody(alice, message, client, page, method):
    response = getattr(client, method)(path(alice, message, page))

    assert response.status_code == 200
    assert standing(alice) == []
    with entered(alice):
        message.refresh_from_db()
        assert message.unsubscribed_at is None


def test_a_post_without_the_words_is_shown_the_button(alice, message, client):
    response = client.post(path(alice, message), {"x": "y"})

    assert response.status_code == 400
    assert b'value="unsubscribe"' in response.content
    assert standing(alice) == []


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options"])
def test_other_methods_are_refused(alice, message, client, method):
    assert getattr(client, method)(path(alice, message)).status_code == 405


def test_the_page_says_the_organisations_own_sentences_and_nothing_else_of_it(alice, message, client):
    with entered(alice):
        EmailSettings.objects.update(
            preferences_title="News from {organization}",
            preferences_text="Line one\n\n<b>two</b>",
            unsubscribe_label="Enough",
            language="fr",
        )

    page = client.get(path(alice, message, "p")).content.decode()

    assert "<h1>News from Alice&#x27;s</h1>" in page and '<html lang="fr">' in page
    assert "&lt;b&gt;two&lt;/b&gt;" in page and "Enough</button>" in page
    assert "an…@example.com" not in page and "a…@example.com" in page and "ann@example.com" not in page
    for internal in (alice.schema_name, "Ann Example", "owner@alice.test", "<nav", "<script", "Your appointment"):
        assert internal not in page


def test_the_whole_way_with_buttons(alice, message, client):
    page = path(alice, message, "p")

    left = client.post(page, {"action": "unsubscribe"})
    assert (left.status_code, left.headers["Location"]) == (303, page)
    shown = client.get(page).content.decode()
    assert "You are unsubscribed" in shown and "I have changed my mind" in shown
    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]

    assert client.post(page, {"action": "resubscribe"}).status_code == 303
    assert standing(alice) == []
    assert 'value="unsubscribe"' in client.get(page).content.decode()
    with entered(alice):
        assert Contact.objects.get().do_not_mail_at is None
        subjects = Interaction.objects.order_by("pk").values_list("subject", flat=True)
        assert list(subjects) == ["Unsubscribed: wants no more e-mail", "Wants e-mail again"]


def test_leaving_returning_and_leaving_again_is_told_twice(alice, message, client):
    with entered(alice):
        make_endpoint(events=[Event.EMAIL_UNSUBSCRIBED])

    for action in ("unsubscribe", "resubscribe", "unsubscribe"):
        client.post(path(alice, message, "p"), {"action": action})

    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]
    with entered(alice):
        assert WebhookDelivery.objects.count() == 2


def test_an_unknown_action_changes_nothing(alice, message, client):
    assert client.post(path(alice, message, "p"), {"action": "delete"}).status_code == 400
    assert standing(alice) == []


def test_the_button_of_the_unsubscribe_link_leads_through_the_preferences(alice, message, client):
    page = client.get(path(alice, message)).content.decode()

    action = re.search(r'action="([^"]+)"', page)[1]
    assert client.post(action, {"action": "unsubscribe"}).status_code == 303
    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]


def test_what_others_entered_is_not_taken_back_by_the_recipient(alice, message, client):
    with entered(alice):
        suppress(address=message.to_email, reason=SuppressionReason.PERSON)
        suppress(address=message.to_email, reason=SuppressionReason.UNSUBSCRIBED)
        assert not preferences_of(message).can_resubscribe

    page = path(alice, message, "p")
    assert b"resubscribe" not in client.get(page).content
    client.post(page, {"action": "resubscribe"})
    assert standing(alice) == [SuppressionReason.PERSON]


def test_a_wish_said_elsewhere_shows_as_unsubscribed(alice, message, client):
    with entered(alice):
        update_contact(contact=message.contact, values={"do_not_mail": True}, source=FactSource.CALL)
        state = preferences_of(message)

    assert (state.is_subscribed, state.can_resubscribe) == (False, False)
    assert b"<button" not in client.get(path(alice, message, "p")).content


def test_a_bounce_is_no_wish(alice, message):
    with entered(alice):
        suppress(address=message.to_email, reason=SuppressionReason.BOUNCED)

        assert preferences_of(message).is_subscribed


def test_whose_contact_is_gone_can_still_leave(alice, message, client):
    with entered(alice):
        EmailMessage.objects.update(contact=None)
        Contact.objects.all().delete()

    assert client.post(path(alice, message), ONE_CLICK).status_code == 200
    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]


def test_an_organisation_that_is_switched_off_is_left_as_well(alice, message, client):
    alice.is_active = False
    alice.save(update_fields=["is_active"])

    assert client.get(path(alice, message)).status_code == 200
    assert client.post(path(alice, message), ONE_CLICK).status_code == 200
    assert standing(alice) == [SuppressionReason.UNSUBSCRIBED]


def test_the_timeline_entry_of_the_message_says_so(alice, message, client):
    with entered(alice):
        log_sent(message_ids=[message.pk])

    client.post(path(alice, message), ONE_CLICK)

    with entered(alice):
        assert "unsubscribed_at" in Interaction.objects.get(kind="email").metadata


@pytest.mark.parametrize("host", ["alice.test", "bob.test", "public.test", "nobody.test"])
def test_the_host_does_not_matter(alice, bob, message, host):
    assert Client(headers={"host": host}).post(path(alice, message), ONE_CLICK).status_code == 200
    assert (standing(alice), standing(bob)) == ([SuppressionReason.UNSUBSCRIBED], [])


# --- broken links ------------------------------------------------------------------------------------------------------


def test_a_broken_link_gets_a_page_that_says_so(alice, message, client):
    good = path(alice, message)
    for broken in (good[:-1], good[:-5] + "AAAAA", "/mail/u/x", "/mail/p/" + "y" * 500, "/mail/u/a:b:c"):
        for answer in (client.get(broken), client.post(broken, ONE_CLICK)):
            assert answer.status_code == 404
            assert b"does not lead anywhere" in answer.content and b"<nav" not in answer.content
    assert standing(alice) == []


def test_the_words_of_nobodys_page_are_the_installations(client, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "email_unknown_link_title", "Nirgendwo")
    monkeypatch.setattr(settings.ENV, "email_language", "de")

    page = client.get("/mail/u/x").content.decode()

    assert "<h1>Nirgendwo</h1>" in page and 'lang="de"' in page


def test_a_link_whose_message_or_organisation_is_gone(alice, bob, message, client):
    token = path(alice, message)
    with entered(alice):
        EmailMessage.objects.all().delete()
        EmailSettings.objects.update(gone_title="Weg", gone_text="{organization} hilft.", language="de")
    answer = client.get(token)
    assert answer.status_code == 404
    assert "<h1>Weg</h1>" in answer.content.decode() and "Alice&#x27;s hilft." in answer.content.decode()
    assert 'lang="de"' in answer.content.decode()

    from django.core import signing

    for schema in ("public", "tenant_template", "t_nobody", "x'; --"):
        forged = signing.dumps([schema, message.pk.hex], salt=links._SALT)
        assert client.get(f"/mail/u/{forged}").status_code == 404


def test_a_token_of_one_organisation_opens_nothing_in_another(alice, bob, message, theirs, client):
    from django.core import signing

    crossed = signing.dumps([bob.schema_name, message.pk.hex], salt=links._SALT)

    assert client.post(f"/mail/u/{crossed}", ONE_CLICK).status_code == 404
    assert (standing(alice), standing(bob)) == ([], [])


# --- how often ---------------------------------------------------------------------------------------------------------


def test_one_link_is_not_asked_for_without_end_and_others_are_not_touched(alice, message, client):
    with entered(alice):
        other = make_message(to_email="ben@example.com")
    page = path(alice, message)

    codes = [client.get(page).status_code for _ in range(31)]

    assert codes == [200] * 30 + [429]
    with entered(alice):
        EmailSettings.objects.update(too_often_text="{organization} bittet um <Geduld>.", language="de")
    refused = client.get(page)
    assert refused.headers["Retry-After"] == "60"
    body = refused.content.decode()
    assert '<html lang="de">' in body and "<p>Alice&#x27;s bittet um &lt;Geduld&gt;.</p>" in body
    assert "moment" not in body
    assert client.post(path(alice, other), ONE_CLICK).status_code == 200


def test_guessing_is_slowed_and_real_links_from_there_are_not(alice, message, client):
    codes = [client.get(f"/mail/u/guess{n}").status_code for n in range(32)]

    assert codes == [404] * 30 + [429] * 2
    assert client.post(path(alice, message), ONE_CLICK).status_code == 200


def test_nobody_is_turned_away_because_redis_is(alice, message, client, monkeypatch):
    def away(*_args, **_more):
        raise RedisError

    monkeypatch.setattr(cache, "add", away, raising=False)

    assert client.post(path(alice, message), ONE_CLICK).status_code == 200


def test_nothing_is_kept_by_caches_or_told_to_other_sites(alice, message, client):
    response = client.get(path(alice, message))

    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert b"noindex" in response.content
