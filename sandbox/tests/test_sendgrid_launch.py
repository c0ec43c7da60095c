"""When `serve` plays the e-mail provider, what it tells the product then, and where a developer sees it."""

import pytest
from cryptography.fernet import Fernet

from sandbox.sendgrid.account import MailAccount
from sandbox.server import build
from thanos.env import Environment
from thanos.launcher import Launcher, Options

SETTINGS = ("SENDGRID_API_KEY", "SENDGRID_API_URL", "EMAIL_URL", "SMTP_FROM_EMAIL", "INBOUND_EMAIL_HOST")


@pytest.fixture
def plan(monkeypatch, tmp_path):
    """Decide for an environment; return what is played and the variables of the product."""

    def decide(**given):
        for name in (*SETTINGS, "TWILIO_ACCOUNT_SID", "DEEPGRAM_API_KEY", "DEEPGRAM_AGENT_URL", "TWILIO_API_URL"):
            monkeypatch.delenv(name, raising=False)
        secrets = {"secret_key": "s" * 40, "field_encryption_keys": Fernet.generate_key().decode()}
        env = Environment(_env_file=None, state_dir=tmp_path, **secrets, **given)
        launcher = Launcher(Options("127.0.0.1", 8000, demo=False))
        variables = {}
        played = launcher._stand_ins(env, variables)
        launcher._sandbox_socket.close()
        return played, variables, launcher

    return decide


def test_without_a_key_it_is_played_and_the_product_told_all_it_needs(plan):
    played, variables, launcher = plan()

    assert played == ["twilio", "deepgram", "stripe", "sendgrid", "openai"]
    assert variables["SENDGRID_API_KEY"].startswith("SG.")
    assert variables["SENDGRID_API_URL"] == variables["SANDBOX_URL"]
    assert variables["INBOUND_EMAIL_HOST"] == "replies.localhost"
    assert MailAccount("x", signing_key=launcher._mail_key).public_key == variables["SENDGRID_WEBHOOK_PUBLIC_KEY"]


def test_other_commands_are_told_too_but_not_the_signing_key(plan, tmp_path):
    _, variables, launcher = plan(smtp_from_email="me@x.test", inbound_email_host="in.x.test")

    told = dict(line.split("=", 1) for line in (tmp_path / "running.env").read_text().splitlines())

    for name in ("SENDGRID_API_KEY", "SENDGRID_API_URL", "SENDGRID_WEBHOOK_PUBLIC_KEY", "SANDBOX_URL"):
        assert told[name] == variables[name]
    assert (told["SMTP_FROM_EMAIL"], told["INBOUND_EMAIL_HOST"]) == ("me@x.test", "in.x.test")
    assert launcher._mail_key not in (tmp_path / "running.env").read_text()
    assert launcher._mail_key not in variables.values()


@pytest.mark.parametrize("given", [{"sendgrid_api_key": "SG.real"}, {"email_url": "smtp://mail.x.test"}])
def test_whoever_can_send_already_is_left_alone(plan, given):
    played, variables, _ = plan(**given)

    assert "sendgrid" not in played
    assert not set(variables) & {"SENDGRID_API_KEY", "SENDGRID_API_URL", "SENDGRID_WEBHOOK_PUBLIC_KEY"}


def test_an_address_that_is_set_wins(plan):
    played, variables, _ = plan(sendgrid_api_url="http://127.0.0.1:9")

    assert "sendgrid" not in played
    assert variables["SENDGRID_API_KEY"].startswith("SG.")
    assert "SENDGRID_API_URL" not in variables


def test_the_stand_in_takes_over_what_it_was_told(plan, monkeypatch, tmp_path):
    _, variables, launcher = plan()
    told = {"SANDBOX_MAIL_SIGNING_KEY": launcher._mail_key, "SANDBOX_MAIL_INBOUND_URL": "http://x.test/in"}
    more = {"PUBLIC_BASE_URL": "http://x.test/", "STATE_DIR": str(tmp_path)}
    for name, value in {**variables, **told, **more}.items():
        monkeypatch.setenv(name, value)

    mail = build().mail

    assert mail.api_key == variables["SENDGRID_API_KEY"]
    assert mail.public_key == variables["SENDGRID_WEBHOOK_PUBLIC_KEY"]
    assert mail.webhook.url == "http://x.test/api/webhooks/sendgrid"
    assert mail.inbound_url == "http://x.test/in"
    assert mail.may_send_from(variables["SMTP_FROM_EMAIL"])
    assert not mail.may_send_from("me@stranger.test")


def test_pages_say_so_and_lead_to_the_outbox(visit, owner, settings):
    env = settings.ENV
    before = env.sandboxed_providers, env.sandbox_url
    try:
        env.sandboxed_providers, env.sandbox_url = ["twilio", "deepgram", "sendgrid"], "http://127.0.0.1:7"
        played = visit(owner).get("/").content.decode()
        env.sandboxed_providers = ["twilio"]
        other = visit(owner).get("/").content.decode()
    finally:
        env.sandboxed_providers, env.sandbox_url = before

    assert "<strong>Twilio, Deepgram and SendGrid</strong> are simulated" in played
    assert 'href="http://127.0.0.1:7/sandbox/mail"' in played
    assert "<strong>Twilio</strong> is simulated" in other
    assert "/sandbox/mail" not in other
