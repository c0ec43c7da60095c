"""Policies of pages, errors, the doctor."""

import pytest
from django.core.management import call_command
from redis.exceptions import ConnectionError as RedisConnectionError

from tenants.models import PhoneNumber, Tenant
from thanos import diagnosis


def test_pages_carry_a_policy_without_inline_scripts(visit, owner):
    policy = visit(owner).get("/")["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy


def test_a_page_that_does_not_exist_is_ours(visit, owner):
    response = visit(owner).get("/no/such/page/")

    assert response.status_code == 404
    assert b"Page not found" in response.content


def test_the_style_page_is_for_development(visit, owner, settings):
    assert visit(owner).get("/style/").status_code == 404
    settings.DEBUG = True
    assert visit(owner).get("/style/").status_code == 200


# --- the doctor ------------------------------------------------------------------------------------------------------


def test_a_healthy_installation_has_nothing_that_stops_calls(alice, providers, capsys):
    call_command("doctor")

    assert "A call can be answered." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("deepgram_api_key", "", "DEEPGRAM_API_KEY"),
        ("use_voice_agent", False, "USE_VOICE_AGENT"),
        ("twilio_auth_token", "", "TWILIO_AUTH_TOKEN"),
    ],
)
def test_what_stops_calls_ends_with_an_error(alice, providers, settings, monkeypatch, capsys, name, value, cure):
    monkeypatch.setattr(settings.ENV, name, value)

    with pytest.raises(SystemExit) as caught:
        call_command("doctor")

    assert caught.value.code == 1
    assert cure in capsys.readouterr().out


def test_a_wrong_account_is_found(alice, providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "twilio_account_sid", "AC" + "9" * 32)

    found = [finding for finding in diagnosis.diagnose() if "does not accept us" in finding.text]

    assert [finding.cure for finding in found] == ["Check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN."]


def test_redis_away_is_found(alice, providers, monkeypatch):
    class Away:
        def ping(self):
            raise RedisConnectionError

    monkeypatch.setattr(diagnosis, "sync_client", Away)

    assert any("Redis cannot be reached" in finding.text for finding in diagnosis.diagnose())


def test_an_installation_without_numbers_or_tenants_cannot_answer(alice, providers):
    PhoneNumber.objects.all().delete()
    assert any("No active telephone number" in finding.text for finding in diagnosis.diagnose())

    Tenant.objects.real().update(is_active=False)
    assert any("no organisation" in finding.text for finding in diagnosis.diagnose())


def test_plain_http_is_no_address_for_media_streams(alice, providers, settings):
    settings.PUBLIC_URL = "http://calls.example"

    assert any("need https" in finding.text for finding in diagnosis.diagnose())


# --- the doctor on e-mail --------------------------------------------------------------------------------------------


@pytest.fixture
def mail_settings(alice, providers, settings, monkeypatch):
    """With a provider, a key, a host, and https: nothing is to be said."""
    from crm.email.tests.news import Key

    good = {
        "sendgrid_api_key": providers.mail.api_key,
        "sendgrid_webhook_public_key": [Key().public],
        "inbound_email_host": "reply.example",
        "sandboxed_providers": [],
    }

    def use(**changed):
        for name, value in {**good, **changed}.items():
            monkeypatch.setattr(settings.ENV, name, value)
        found = [finding for finding in diagnosis.diagnose() if any(word in finding.cure for word in _MAIL)]
        assert not any(finding.stops_calls for finding in found)
        return [finding.cure for finding in found]

    return use


_MAIL = ("SENDGRID", "INBOUND", "event webhook")


def test_e_mail_that_is_set_up_is_not_mentioned(mail_settings):
    assert mail_settings() == []


@pytest.mark.parametrize(
    ("changed", "cure"),
    [
        ({"sendgrid_api_key": ""}, "Set SENDGRID_API_KEY."),
        ({"sendgrid_webhook_public_key": []}, "set SENDGRID_WEBHOOK_PUBLIC_KEY to its key"),
        ({"sendgrid_webhook_public_key": ["nonsense"]}, "Copy it from the event webhook's settings."),
        ({"inbound_email_host": ""}, "Set INBOUND_EMAIL_HOST"),
    ],
)
def test_what_e_mail_lacks_is_said_with_its_cure(mail_settings, changed, cure):
    [said] = mail_settings(**changed)

    assert cure in said


def test_one_click_unsubscribing_needs_https_but_for_stand_ins(mail_settings, settings, monkeypatch):
    def said():
        return [finding.cure for finding in diagnosis.diagnose() if "one-click" in finding.text]

    assert (mail_settings(), said()) == ([], [])
    settings.PUBLIC_URL = "http://crm.example"
    assert said() == ["Set PUBLIC_BASE_URL=https://…"]
    monkeypatch.setattr(settings.ENV, "sandboxed_providers", ["sendgrid"])
    assert said() == []


def test_without_any_way_of_sending_both_are_named(mail_settings, settings):
    settings.EMAIL_IS_DELIVERED = False

    assert "Set SENDGRID_API_KEY, or EMAIL_URL." in mail_settings(sendgrid_api_key="")
