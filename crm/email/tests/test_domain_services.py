"""What people do with sending domains."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from crm.email.domaintiming import KEPT_FOR, WAITS_FOR
from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.services.domains import (
    MAX_DOMAINS,
    DomainError,
    TooSoonError,
    check_now,
    create_domain,
    remove_domain,
    remove_given_up,
)
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent, SendingDomain

NOW = timezone.now().replace(microsecond=0)


@pytest.fixture(autouse=True)
def account(settings, monkeypatch, unused_port):
    """A key, and nobody there: nothing that people do waits for the provider."""
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.test")
    monkeypatch.setattr(settings.ENV, "sendgrid_api_url", f"http://127.0.0.1:{unused_port}")


def refusal(domain, **options):
    with pytest.raises(DomainError) as caught:
        create_domain(domain=domain, **options)
    return caught.value


def make(domain="acme.com", **fields):
    SendingDomain.objects.create(domain=domain, tenant=connection.tenant)
    return EmailDomain.objects.create(domain=domain, **fields)


def fresh(domain):
    domain.refresh_from_db()
    return domain


def trail():
    return list(AuditEvent.objects.order_by("pk").values_list("target", flat=True))


def test_entering_claims_the_name_and_leaves_the_rest_to_a_worker(in_alice, owner):
    created = create_domain(domain="https://Müller.de/impressum", by=owner, now=NOW)

    assert (created.domain, created.state, created.user) == ("xn--mller-kva.de", DomainState.REGISTERING, owner)
    assert (created.next_check_at, created.check_until) == (NOW, NOW + WAITS_FOR)
    claim = SendingDomain.objects.get()
    assert (claim.domain, claim.tenant, claim.provider_id) == ("xn--mller-kva.de", in_alice, "")
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.tenant, event.actor) == (AuditAction.SENDING_DOMAIN_CHANGED, in_alice, owner)
    assert event.target == "xn--mller-kva.de: entered"


def test_entering_wakes_a_worker_after_the_commit(in_alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        create_domain(domain="acme.com")

    assert len(callbacks) == 1


def test_bad_names_belong_to_the_field_and_leave_nothing(in_alice):
    for typed in ("", "co.uk", "gmail.com", "10.0.0.1", "acme"):
        assert refusal(typed).field == "domain"

    assert (EmailDomain.objects.count(), SendingDomain.objects.count(), trail()) == (0, 0, trail())


def test_a_domain_of_another_organisation_is_refused_without_telling_whose_it_is(alice, bob):
    with entered(bob):
        create_domain(domain="acme.com")
    with entered(alice):
        error = refusal("www.acme.com")

        assert "acme.com is in use at another organisation here" in str(error)
        assert "Bob" not in str(error)
        assert EmailDomain.objects.count() == 0
        create_domain(domain="mail.acme.com")  # that is another name, and as hard to prove
    with entered(bob):
        assert [domain.domain for domain in EmailDomain.objects.all()] == ["acme.com"]


def test_a_domain_that_is_here_already(in_alice):
    domain = create_domain(domain="acme.com")
    assert "is here already" in str(refusal("ACME.com"))
    remove_domain(domain=domain)
    assert "is just being removed" in str(refusal("acme.com"))


def test_there_is_room_for_so_many(in_alice, bob):
    for number in range(MAX_DOMAINS):
        make(f"acme{number}.com")

    error = refusal("one-too-many.com")

    assert (error.field, "There are 10 domains already" in str(error)) == (None, True)
    with entered(bob):
        create_domain(domain="one-too-many.com")


def test_without_sendgrid_nothing_is_begun(in_alice, settings, monkeypatch):
    domain = make(provider_id="1", state=DomainState.PENDING)
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")

    assert "need SendGrid" in str(refusal("other.com"))
    with pytest.raises(DomainError, match="need SendGrid"):
        check_now(domain=domain)
    assert SendingDomain.objects.count() == 1


def test_checking_now_makes_it_due(in_alice, owner):
    domain = make(provider_id="1", state=DomainState.PENDING, checks=7, next_check_at=NOW + timedelta(hours=1))

    check_now(domain=domain, by=owner, now=NOW)

    assert (fresh(domain).next_check_at, domain.checks, domain.state) == (NOW, 7, DomainState.PENDING)


@pytest.mark.parametrize(("ago_s", "wait_s"), [(0, 10), (1, 9), (9.5, 1)])
def test_checking_now_is_allowed_every_ten_seconds(in_alice, ago_s, wait_s):
    later = NOW + timedelta(hours=1)
    domain = make(
        provider_id="1", state=DomainState.PENDING, checked_at=NOW - timedelta(seconds=ago_s), next_check_at=later
    )

    with pytest.raises(TooSoonError) as caught:
        check_now(domain=domain, now=NOW)

    assert caught.value.wait_s == wait_s
    assert f"Ask again in {wait_s} second" in str(caught.value)
    assert fresh(domain).next_check_at == later
    check_now(domain=domain, now=NOW + timedelta(seconds=10))
    assert fresh(domain).next_check_at == NOW + timedelta(seconds=10)


def test_asking_again_and_again_queues_one_look(in_alice, django_capture_on_commit_callbacks):
    domain = make(provider_id="1", state=DomainState.PENDING, next_check_at=NOW + timedelta(hours=1))

    with django_capture_on_commit_callbacks() as callbacks:
        for second in range(5):
            check_now(domain=domain, now=NOW + timedelta(seconds=second))

    assert len(callbacks) == 1
    assert fresh(domain).next_check_at == NOW
    with django_capture_on_commit_callbacks() as callbacks:
        check_now(domain=domain, now=NOW + timedelta(seconds=10))  # perhaps the broker was away
    assert len(callbacks) == 1


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": DomainState.EXPIRED, "provider_id": "1"}, DomainState.PENDING),
        ({"state": DomainState.EXPIRED}, DomainState.REGISTERING),
        ({"state": DomainState.LOST}, DomainState.REGISTERING),
        ({"state": DomainState.REGISTERING, "error": "Taken."}, DomainState.REGISTERING),
    ],
)
def test_what_was_over_begins_again(in_alice, owner, fields, state):
    domain = make(checks=40, check_until=NOW - timedelta(days=1), **fields)

    check_now(domain=domain, by=owner, now=NOW)

    assert (fresh(domain).state, domain.checks, domain.error) == (state, 0, "")
    assert (domain.next_check_at, domain.check_until) == (NOW, NOW + WAITS_FOR)
    assert trail()[-1] == "acme.com: asked for again"


@pytest.mark.parametrize("state", [DomainState.VERIFIED, DomainState.LOST, DomainState.REMOVING])
def test_what_is_not_over_keeps_its_state(in_alice, state):
    domain = make(state=state, provider_id="1", next_check_at=NOW + timedelta(hours=20))

    check_now(domain=domain, now=NOW)

    assert (fresh(domain).state, domain.next_check_at, domain.check_until) == (state, NOW, None)


@pytest.mark.parametrize("state", [state for state in DomainState if state != DomainState.REMOVING])
def test_removing_stops_its_use_at_once_and_keeps_the_name_for_now(in_alice, owner, state):
    domain = make(state=state, provider_id="1", lost_at=NOW, next_check_at=None)

    assert remove_domain(domain=domain, by=owner, now=NOW)
    assert not remove_domain(domain=domain, by=owner, now=NOW)

    assert (fresh(domain).state, domain.next_check_at, domain.lost_at) == (DomainState.REMOVING, NOW, None)
    assert SendingDomain.objects.filter(domain="acme.com").exists()
    assert trail()[-1] == "acme.com: removed"


def test_names_nobody_came_back_for_are_given_free(in_alice, bob):
    old, newer = NOW - KEPT_FOR - timedelta(seconds=1), NOW - KEPT_FOR + timedelta(seconds=1)
    going = [
        make("expired.com", state=DomainState.EXPIRED, check_until=old),
        make("refused.com", state=DomainState.REGISTERING, check_until=old),
    ]
    staying = [
        make("recent.com", state=DomainState.EXPIRED, check_until=newer),
        make("verified.com", state=DomainState.VERIFIED, check_until=old),
        make("lost.com", state=DomainState.LOST, check_until=old),
        make("registering.com", state=DomainState.REGISTERING, check_until=old, next_check_at=NOW),
    ]
    with entered(bob):
        bobs = make("bobs.com", state=DomainState.EXPIRED, check_until=old)

    assert remove_given_up(now=NOW) == 2

    assert {fresh(domain).state for domain in going} == {DomainState.REMOVING}
    assert DomainState.REMOVING not in {fresh(domain).state for domain in staying}
    with entered(bob):
        assert fresh(bobs).state == DomainState.EXPIRED


class Elsewhere(threading.Thread):
    """Work in a tenant, on a connection of its own."""

    def __init__(self, tenant, work):
        super().__init__()
        self.tenant, self.work, self.result = tenant, work, None
        self.start()

    def run(self):
        with entered(self.tenant):
            try:
                self.result = self.work()
            except DomainError as error:
                self.result = error
            finally:
                connection.close()


def clean_up(*tenants):
    for tenant in tenants:
        Elsewhere(tenant, lambda: (EmailDomain.objects.all().delete(), SendingDomain.objects.all().delete())).join()


def test_of_organisations_that_enter_the_same_name_at_once_one_gets_it(alice, bob):
    ready = threading.Barrier(6)

    def enter():
        ready.wait(10)
        return create_domain(domain="contested.com")

    try:
        threads = [Elsewhere(tenant, enter) for tenant in (alice, bob) * 3]
        for thread in threads:
            thread.join()
        won = [thread.tenant for thread in threads if isinstance(thread.result, EmailDomain)]
        there = []
        for tenant in (alice, bob):
            Elsewhere(tenant, lambda: there.extend(EmailDomain.objects.values_list("domain", flat=True))).join()
    finally:
        clean_up(alice, bob)

    assert (len(won), there) == (1, ["contested.com"])
    lost = [str(thread.result) for thread in threads if isinstance(thread.result, DomainError)]
    assert len(lost) == 5
    assert sum("another organisation" in words for words in lost) == 3


def test_the_last_place_is_given_once(alice):
    ready = threading.Barrier(4)

    def enter(number):
        ready.wait(10)
        return create_domain(domain=f"place{number}.com")

    try:
        Elsewhere(alice, lambda: [make(f"acme{number}.com") for number in range(MAX_DOMAINS - 1)]).join()
        threads = [Elsewhere(alice, lambda number=number: enter(number)) for number in range(4)]
        for thread in threads:
            thread.join()
    finally:
        clean_up(alice)

    assert sum(isinstance(thread.result, EmailDomain) for thread in threads) == 1
