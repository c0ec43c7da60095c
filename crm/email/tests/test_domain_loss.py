"""Telling of a loss, domains of deleted organisations, and the sweep that comes back to everything."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from crm.email import domain_receivers
from crm.email.enums import DomainState
from crm.email.models import EmailDomain, EmailSettings
from crm.email.services import domainloss
from crm.email.services.domainloss import tell_lost
from crm.email.services.domainorphans import AT_ONCE, remove_orphans
from crm.email.services.domains import create_domain
from crm.email.services.domainsteps import CLAIM_LASTS, carry_on, subdomain_of
from crm.email.services.notices import NotDeliveredError, send_notice
from crm.email.tasks import domains as tasks
from crm.email.tests.domainprovider import DomainProvider
from tenants.celery import HEADER
from tenants.context import entered
from tenants.models import SendingDomain
from tenants.services.tenants import delete_tenant

NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def provider(settings, monkeypatch):
    running = DomainProvider()
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.test")
    monkeypatch.setattr(settings.ENV, "sendgrid_api_url", running.url)
    yield running
    running.stop()


def make(domain, **fields):
    SendingDomain.objects.create(domain=domain, tenant=connection.tenant)
    return EmailDomain.objects.create(domain=domain, **fields)


def lose(domain):
    return make(domain, state=DomainState.LOST, provider_id="1", lost_at=NOW)


# --- telling


def test_owners_and_admins_are_told_once(in_alice, admin, member, bob):
    domain = lose("xn--mller-kva.de")
    make("well.com", state=DomainState.VERIFIED, provider_id="2")
    with entered(bob):
        lose("bobs.com")

    assert tell_lost(tenant=in_alice, now=NOW) == 1
    assert tell_lost(tenant=in_alice, now=NOW) == 0

    assert sorted(letter.to for letter in mail.outbox) == [["admin@alice.test"], ["owner@alice.test"]]
    letter = mail.outbox[0]
    assert letter.subject == "müller.de cannot be used for e-mail any more"
    assert "Alice's can no longer show that it may send e-mail from müller.de" in letter.body
    assert f"https://alice.test/settings/email/domains/{domain.pk}/" in letter.body
    assert "{" not in letter.subject + letter.body
    with entered(bob):
        assert EmailDomain.objects.get().told_at is None


def test_the_words_are_the_organisations_own(in_alice):
    EmailSettings.objects.update(domain_lost_subject="Achtung:\r\n{domain}", domain_lost_text="Siehe {link}")
    lose("acme.com")

    tell_lost(tenant=in_alice)

    assert mail.outbox[0].subject == "Achtung: acme.com"
    assert mail.outbox[0].body.startswith("Siehe https://alice.test/")


def test_what_could_not_be_told_is_told_later(in_alice, monkeypatch):
    domain = lose("acme.com")

    def refuse(**kwargs):
        raise NotDeliveredError("away")

    with monkeypatch.context() as patched:
        patched.setattr(domainloss, "send_notice", refuse)
        assert tell_lost(tenant=in_alice, now=NOW) == 0

    domain.refresh_from_db()
    assert domain.told_at is None
    assert tell_lost(tenant=in_alice, now=NOW) == 1


def test_what_may_have_been_told_is_not_told_again(in_alice, owner, monkeypatch):
    lose("acme.com")

    def never_answered(**kwargs):
        raise NotDeliveredError("no answer", may_have_left=True)

    monkeypatch.setattr(domainloss, "send_notice", never_answered)

    assert (tell_lost(tenant=in_alice), tell_lost(tenant=in_alice)) == (1, 0)


def test_with_sendgrid_alone_they_are_told_through_it(in_alice, owner, bob, providers, settings):
    settings.EMAIL_IS_DELIVERED = False
    lose("acme.com")

    assert tell_lost(tenant=in_alice, now=NOW) == 1

    letter = providers.mail.to(owner.email).letter()
    assert letter.subject == "acme.com cannot be used for e-mail any more"
    assert "Alice's can no longer show" in letter.text
    assert mail.outbox == []


def test_without_a_way_of_sending_it_is_told_later(in_alice, owner, settings):
    settings.EMAIL_IS_DELIVERED = False
    domain = lose("acme.com")

    assert tell_lost(tenant=in_alice, now=NOW) == 0

    domain.refresh_from_db()
    assert (domain.told_at, mail.outbox) == (None, [])
    settings.EMAIL_IS_DELIVERED = True
    assert tell_lost(tenant=in_alice, now=NOW) == 1


def test_a_worker_killed_while_telling_writes_no_second_time(in_alice, monkeypatch):
    lose("acme.com")

    class Killed(BaseException):
        pass

    def send_and_die(**kwargs):
        send_notice(**kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(domainloss, "send_notice", send_and_die)
        with pytest.raises(Killed):
            tell_lost(tenant=in_alice)

    assert tell_lost(tenant=in_alice) == 0
    assert len(mail.outbox) == 1


# --- organisations that are gone


def register(tenant, name):
    with entered(tenant):
        domain = create_domain(domain=name, now=NOW)
        carry_on(domain_id=domain.pk, now=NOW)


def test_a_deleted_organisations_domains_go_at_the_provider_too(alice, bob, provider):
    register(alice, "acme.com")
    register(bob, "bobs.com")

    delete_tenant(tenant=alice)

    assert SendingDomain.objects.get(domain="acme.com").tenant is None
    with entered(bob), pytest.raises(ValueError, match="in use at another"):  # not before the provider has let go of it
        create_domain(domain="acme.com")
    assert remove_orphans() == 1
    assert [made["domain"] for made in provider.domains.values()] == ["bobs.com"]
    assert [claim.domain for claim in SendingDomain.objects.all()] == ["bobs.com"]
    register(bob, "acme.com")


def test_deleting_an_organisation_wakes_a_worker_outside_of_tenants(alice, monkeypatch):
    published = []
    monkeypatch.setattr(domain_receivers, "publish", lambda task, **options: published.append((task.name, options)))

    delete_tenant(tenant=alice)

    assert published == [("crm_email.remove_orphaned_domains", {"headers": {HEADER: "public"}})]


def test_what_the_provider_does_not_let_go_of_stays_for_the_next_time(alice, provider):
    register(alice, "acme.com")
    delete_tenant(tenant=alice)
    provider.fault = lambda method, path: (500, {})

    assert remove_orphans() == 0
    provider.fault = lambda method, path: None
    provider.loses_answer_to = "DELETE"
    assert remove_orphans() == 0
    provider.loses_answer_to = ""
    assert remove_orphans() == 1

    assert (provider.domains, SendingDomain.objects.count()) == ({}, 0)


def test_an_orphan_whose_id_was_never_written_down_is_found_by_its_name(alice, provider):
    orphan = SendingDomain.objects.create(domain="acme.com", tenant=None)
    provider.add("acme.com", subdomain_of(orphan))
    theirs = provider.add("other.com", "em1")
    SendingDomain.objects.create(domain="other.com", tenant=None)

    assert remove_orphans() == 2
    assert list(provider.domains.values()) == [theirs]


def test_orphans_are_taken_in_bounded_pieces(db, provider):
    SendingDomain.objects.bulk_create(SendingDomain(domain=f"acme{n}.com") for n in range(AT_ONCE + 1))

    assert [remove_orphans(), remove_orphans(), remove_orphans()] == [AT_ONCE, 1, 0]


def test_without_an_account_what_is_registered_is_kept_for_later(db, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")
    SendingDomain.objects.create(domain="never-there.com")
    SendingDomain.objects.create(domain="there.com", provider_id="7")

    assert remove_orphans() == 1
    assert SendingDomain.objects.get().domain == "there.com"


# --- the sweep


@pytest.fixture
def published(monkeypatch):
    found = []

    def note(task, *, headers=None, **options):
        found.append((headers[HEADER], task.name, *options.values()))

    monkeypatch.setattr(tasks, "publish", note)
    return found


def test_the_sweep_comes_back_to_what_is_due_in_each_organisation(alice, bob, published, provider):
    past, future = NOW - timedelta(minutes=1), NOW + timedelta(hours=1)
    with entered(alice):
        due = make("due.com", state=DomainState.PENDING, next_check_at=past)
        silent = make("silent.com", state=DomainState.PENDING, next_check_at=past, claimed_until=past)
        make("claimed.com", state=DomainState.PENDING, next_check_at=past, claimed_until=future + CLAIM_LASTS)
        make("later.com", state=DomainState.VERIFIED, next_check_at=future)
        make("over.com", state=DomainState.EXPIRED, next_check_at=None)
    with entered(bob):
        bobs = make("bobs.com", state=DomainState.REMOVING, next_check_at=past)
        lose("lost.com")
    SendingDomain.objects.create(domain="orphan.com")

    tasks.sweep_domains()

    assert sorted(published) == sorted(
        [
            (alice.schema_name, "crm_email.check_domain", due.pk),
            (alice.schema_name, "crm_email.check_domain", silent.pk),
            (bob.schema_name, "crm_email.check_domain", bobs.pk),
            (bob.schema_name, "crm_email.tell_domain_lost"),
            ("public", "crm_email.remove_orphaned_domains"),
        ]
    )


def test_the_sweep_has_nothing_to_do_when_all_is_well(alice, published):
    with entered(alice):
        make("later.com", state=DomainState.VERIFIED, next_check_at=NOW + timedelta(hours=1))

    tasks.sweep_domains()

    assert published == []


def test_tasks_do_their_work_where_they_are_told(alice, bob, provider):
    with entered(alice):
        domain = create_domain(domain="acme.com")
    with entered(bob):
        tasks.check_domain.apply(kwargs={"domain_id": domain.pk})
    assert provider.asked == []

    with entered(alice):
        tasks.check_domain.apply(kwargs={"domain_id": domain.pk})
        domain.refresh_from_db()
        assert domain.state == DomainState.PENDING
        EmailDomain.objects.update(lost_at=NOW)
        tasks.tell_domain_lost.apply()
    assert ("POST", "/v3/mail/send") in provider.asked
    SendingDomain.objects.update(tenant=None)
    tasks.remove_orphaned_domains.apply()
    assert (SendingDomain.objects.count(), provider.domains) == (0, {})
