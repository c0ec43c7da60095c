from __future__ import annotations

from django.utils import timezone

from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.models.setup import email_settings
from crm.email.services.senders import Sender, sender
from tenants.context import entered


def set_up(**values):
    chosen = email_settings()
    for name, value in values.items():
        setattr(chosen, name, value)
    chosen.save()


def test_the_platform_writes_in_the_organisations_name(in_alice, settings):
    set_up(reply_to="help@alice.test")

    assert sender() == Sender(settings.ENV.smtp_from_email, in_alice.name, "help@alice.test", is_own_domain=False)


def test_a_verified_domain_is_used(in_alice, bob):
    for domain, state in (("lost.test", DomainState.LOST), ("mail.alice.test", DomainState.VERIFIED)):
        EmailDomain.objects.create(domain=domain, state=state, verified_at=timezone.now())
    set_up(from_name="Alice & Co", from_local_part="news")

    assert sender() == Sender("news@mail.alice.test", "Alice & Co", "", is_own_domain=True)
    with entered(bob):
        assert not sender().is_own_domain


def test_a_domain_that_is_not_verified_yet_is_not(in_alice):
    EmailDomain.objects.create(domain="mail.alice.test", state=DomainState.PENDING)
    assert not sender().is_own_domain
