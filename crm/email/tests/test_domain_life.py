"""A sending domain's whole life against the stand-in that everybody develops with: page, worker, provider, page."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.services.domainsteps import carry_on
from crm.email.services.senders import sender
from tenants.context import entered

LIST = "/settings/email/domains/"


@pytest.fixture
def work(alice):
    """Do what is due, at the time it is due."""

    def do():
        with entered(alice):
            (domain,) = EmailDomain.objects.all()
            assert carry_on(domain_id=domain.pk, now=domain.next_check_at)
            return EmailDomain.objects.first()

    return do


def test_from_entering_to_removing(alice, bob, visit, owner, providers, work):
    client, known = visit(owner), providers.mail.domains
    at = client.post(f"{LIST}new/", {"domain": "müller-news.de"}).url
    work()
    assert "0 of 3 found" in client.get(at).content.decode()

    known.publish("xn--mller-news-9db.de", ["dkim1"])
    work()
    page = client.get(at).content.decode()
    assert "1 of 3 found" in page
    assert "Expected CNAME for" in page
    known.publish("xn--mller-news-9db.de", True)
    assert work().state == DomainState.VERIFIED
    with entered(alice):
        assert sender().from_email == "hello@xn--mller-news-9db.de"
        assert providers.mail.domains.is_authenticated("xn--mller-news-9db.de")

    known.publish("xn--mller-news-9db.de", False)
    while (domain := work()).state == DomainState.VERIFIED:
        assert domain.next_check_at - domain.checked_at == timedelta(minutes=15)
    assert domain.state == DomainState.LOST
    client.post(f"{at}remove/")
    assert work() is None
    assert (known.all, client.get(at).status_code) == ({}, 404)


def test_the_provider_says_what_is_taken(alice, visit, owner, providers, work):
    taken = providers.mail.domains.add({"domain": "acme.com", "subdomain": "em1"})
    client = visit(owner)
    at = client.post(f"{LIST}new/", {"domain": "acme.com"}).url

    work()

    assert "An authenticated domain already exists for this URL." in client.get(at).content.decode()
    client.post(f"{at}remove/")
    work()
    assert providers.mail.domains.all == {taken.id: taken}


def test_a_provider_that_is_away_is_waited_for(alice, visit, owner, providers, work):
    client = visit(owner)
    at = client.post(f"{LIST}new/", {"domain": "acme.com"}).url

    with providers.away():
        work()
        assert "SendGrid could not be reached. We try again by ourselves." in client.get(at).content.decode()

    assert work().state == DomainState.PENDING
