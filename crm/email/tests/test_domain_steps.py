"""What workers do with sending domains, with a provider on real sockets and a clock that is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from crm.email.domaintiming import DAILY, WAITS_FOR
from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.services import domainsteps
from crm.email.services.domains import check_now, create_domain, remove_domain
from crm.email.services.domainsteps import CLAIM_LASTS, carry_on, claim_domain, subdomain_of
from crm.email.services.senders import sender
from crm.email.tests.domainprovider import EVERY_RECORD, ROOT, DomainProvider
from tenants.context import entered
from tenants.models import AuditEvent, SendingDomain

NOW = timezone.now().replace(microsecond=0)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def provider(settings, monkeypatch):
    running = DomainProvider()
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.test")
    monkeypatch.setattr(settings.ENV, "sendgrid_api_url", running.url)
    yield running
    running.stop()


@pytest.fixture
def bobs(bob, provider):
    """Bob's domain, which is due as well: nothing that is done for Alice may touch it."""
    with entered(bob):
        domain = registered("bobs-secret.com", now=NOW - timedelta(days=1))
    yield domain
    with entered(bob):
        assert EmailDomain.objects.filter(pk=domain.pk, state=DomainState.PENDING, checks=0, claimed_until=None).exists()
        assert SendingDomain.objects.filter(domain="bobs-secret.com", tenant=bob).exists()


@pytest.fixture
def domain(in_alice, bobs):
    return create_domain(domain="acme.com", now=NOW)


def registered(name, *, now=NOW):
    domain = create_domain(domain=name, now=now)
    carry_on(domain_id=domain.pk, now=now)
    return fresh(domain)


@pytest.fixture
def pending(in_alice, bobs):
    return registered("acme.com")


@pytest.fixture
def verified(pending, provider):
    provider.in_dns = EVERY_RECORD
    carry_on(domain_id=pending.pk, now=NOW + MINUTE)
    return fresh(pending)


def fresh(domain):
    domain.refresh_from_db()
    return domain


def step(domain, now=None):
    """Do what is due when it is due; return the domain as it is then."""
    assert carry_on(domain_id=domain.pk, now=now or fresh(domain).next_check_at)
    return fresh(domain)


def trail():
    return [target for target in AuditEvent.objects.order_by("pk").values_list("target", flat=True) if "acme" in target]


def alices(provider):
    return [made for made in provider.domains.values() if made["domain"] == "acme.com"]


def claim_of(domain):
    return SendingDomain.objects.get(domain=domain.domain)


def down(method, path):
    return 503, {}


# --- registering


def test_registering_brings_the_records(domain, provider):
    step(domain)

    (made,) = alices(provider)
    assert (domain.state, domain.provider_id, domain.error) == (DomainState.PENDING, str(made["id"]), "")
    assert domain.records[0] == {
        "key": "mail_cname",
        "type": "CNAME",
        "host": f"{made['subdomain']}.acme.com",
        "data": "wl.test",
        "valid": None,
        "reason": "",
    }
    assert (domain.next_check_at, domain.check_until) == (NOW + MINUTE, NOW + WAITS_FOR)
    assert (domain.checks, domain.claimed_until, domain.checked_at) == (0, None, None)
    assert claim_of(domain).provider_id == domain.provider_id


def test_a_lost_answer_does_not_register_twice(domain, provider):
    provider.loses_answer_to = "POST"
    step(domain)

    assert (domain.state, domain.error, domain.provider_id) == (
        DomainState.REGISTERING,
        "SendGrid could not be reached.",
        "",
    )
    assert domain.next_check_at == NOW + MINUTE
    provider.loses_answer_to = ""
    step(domain)
    assert (domain.state, domain.error) == (DomainState.PENDING, "")
    assert [str(made["id"]) for made in alices(provider)] == [domain.provider_id]
    assert provider.asked.count(("POST", ROOT)) == 2  # Bob's and Alice's


class Killed(BaseException):
    """Like SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize("at", ["find_ours", "remembering", "_settle"])
def test_a_worker_killed_at_any_line_is_replaced(domain, provider, monkeypatch, at):
    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        if at == "remembering":  # the provider has it, and we have not written its id down
            create = domainsteps.DomainApi.create
            patched.setattr(domainsteps.DomainApi, "create", lambda self, **names: (create(self, **names), die())[0])
        else:
            patched.setattr(domainsteps, at, die)
        with pytest.raises(Killed):
            carry_on(domain_id=domain.pk, now=NOW)

    assert not carry_on(domain_id=domain.pk, now=NOW + CLAIM_LASTS - timedelta(seconds=1))
    assert list(domainsteps.due(NOW + CLAIM_LASTS)) == [domain]
    step(domain, NOW + CLAIM_LASTS)
    assert domain.state == DomainState.PENDING
    assert [str(made["id"]) for made in alices(provider)] == [domain.provider_id]


def test_what_others_have_registered_is_never_taken_over(domain, provider):
    theirs = provider.add("acme.com", "em1234")

    step(domain)

    assert (domain.state, domain.provider_id, domain.next_check_at) == (DomainState.REGISTERING, "", None)
    assert domain.error == "An authenticated domain already exists for this URL."
    assert alices(provider) == [theirs]
    remove_domain(domain=domain, now=NOW)
    assert carry_on(domain_id=domain.pk, now=NOW)
    assert alices(provider) == [theirs]  # not ours to take away
    assert not SendingDomain.objects.filter(domain="acme.com").exists()


def test_a_refused_one_can_be_tried_again(domain, provider):
    theirs = provider.add("acme.com", "em1234")
    step(domain)
    del provider.domains[theirs["id"]]

    check_now(domain=domain, now=NOW + MINUTE)
    step(domain)

    assert domain.state == DomainState.PENDING


def test_trouble_at_the_provider_is_said_and_tried_again_with_growing_pauses(domain, provider):
    provider.fault = lambda method, path: (403, {"errors": [{"message": "access forbidden"}]})
    at = [step(domain).next_check_at for _ in range(4)]

    assert domain.error == "access forbidden"
    # The provider asks for half an hour each time.
    assert [after - before for before, after in zip([NOW, *at], at, strict=False)] == [30 * MINUTE] * 4
    assert domain.state == DomainState.REGISTERING
    step(domain, NOW + WAITS_FOR)
    assert domain.next_check_at is None  # a person decides


def test_the_name_below_the_domain_is_the_same_at_every_try_and_another_for_every_claim(in_alice):
    first = SendingDomain.objects.create(domain="acme.com", tenant=in_alice)
    name = subdomain_of(first)
    assert subdomain_of(SendingDomain.objects.get()) == name
    assert name.startswith("em") and len(name) == 8

    first.delete()
    second = SendingDomain.objects.create(domain="acme.com", tenant=in_alice)

    assert subdomain_of(second) != name


def test_a_domain_removed_while_it_is_registered_goes_at_the_provider_too(domain, provider):
    api = domainsteps.domain_api()
    claim = claim_domain(domain_id=domain.pk, now=NOW)
    changes = domainsteps._register(claim.domain, api, NOW)
    remove_domain(domain=domain, now=NOW)
    assert not carry_on(domain_id=domain.pk, now=NOW)  # whoever registers has it
    domainsteps._settle(claim, changes, NOW)

    assert (fresh(domain).state, domain.claimed_until) == (DomainState.REMOVING, None)
    assert len(alices(provider)) == 1
    assert carry_on(domain_id=domain.pk, now=NOW)
    assert alices(provider) == []
    assert not EmailDomain.objects.exists()


def test_a_domain_registered_for_an_organisation_that_is_gone_is_taken_away_again(domain, provider):
    claim = claim_domain(domain_id=domain.pk, now=NOW)
    api = domainsteps.domain_api()
    create = api.create

    class Gone:
        """The claim goes while the provider answers."""

        find, delete = api.find, api.delete

        def create(self, **names):
            made = create(**names)
            SendingDomain.objects.filter(domain="acme.com").delete()
            return made

    domainsteps._register(claim.domain, Gone(), NOW)

    assert alices(provider) == []


# --- checking


def test_each_record_says_how_it_is(pending, provider):
    provider.in_dns = {"dkim1"}

    step(pending)

    found = {entry["key"]: (entry["valid"], entry["reason"]) for entry in pending.records}
    assert found == {
        "mail_cname": (False, "Expected CNAME for mail_cname"),
        "dkim1": (True, ""),
        "dkim2": (False, "Expected CNAME for dkim2"),
    }
    assert (pending.state, pending.checks, pending.checked_at) == (DomainState.PENDING, 1, NOW + MINUTE)


def test_the_pauses_grow_until_three_days_are_over(pending, provider):
    looks = []
    while pending.state == DomainState.PENDING:
        looks.append(pending.next_check_at - NOW)
        step(pending)

    minutes = [look / MINUTE for look in looks]
    assert minutes[:8] == [1, 3, 8, 18, 38, 78, 138, 198]
    assert looks[-1] == WAITS_FOR
    assert (pending.state, pending.next_check_at, pending.checks) == (DomainState.EXPIRED, None, len(looks))
    assert trail()[-1] == "acme.com: not verified in time"
    assert not carry_on(domain_id=pending.pk, now=NOW + timedelta(days=30))


def test_an_expired_one_is_looked_at_again_when_asked(pending, provider):
    step(pending, NOW + WAITS_FOR)
    assert pending.state == DomainState.EXPIRED
    provider.in_dns = EVERY_RECORD

    check_now(domain=pending, now=NOW + timedelta(days=5))
    step(pending)

    assert pending.state == DomainState.VERIFIED


def test_a_verified_one_is_used_from_then_on(pending, provider, bob):
    assert not sender().is_own_domain
    provider.in_dns = EVERY_RECORD

    step(pending)

    assert (pending.state, pending.verified_at, pending.error) == (DomainState.VERIFIED, NOW + MINUTE, "")
    assert pending.next_check_at == NOW + MINUTE + DAILY
    assert sender().from_email == "hello@acme.com"
    assert trail()[-1] == "acme.com: verified"
    with entered(bob):
        assert not sender().is_own_domain


def test_the_word_of_the_provider_decides_not_the_records(pending, provider):
    results = {key: {"valid": True, "reason": None} for key in EVERY_RECORD}
    provider.fault = lambda method, path: (200, {"id": 1, "valid": False, "validation_results": results})

    step(pending)

    assert pending.state == DomainState.PENDING


def test_records_with_other_names_find_their_findings(pending, provider):
    keys = ("mail_server", "subdomain_spf", "domain_spf", "dkim")
    records = [{"key": key, "type": "TXT", "host": "x", "data": "y", "valid": True, "reason": ""} for key in keys]
    EmailDomain.objects.filter(pk=pending.pk).update(records=records)
    results = {"mail_cname": {"valid": True}, "spf": {"valid": False, "reason": "No SPF."}, "dkim": {"valid": "?"}, "x": 3}
    provider.fault = lambda method, path: (200, {"id": 1, "valid": False, "validation_results": results})

    step(pending)

    found = [(entry["valid"], entry["reason"]) for entry in pending.records]
    assert found == [(True, ""), (False, "No SPF."), (None, ""), (None, "")]


@pytest.mark.parametrize("fault", [down, lambda method, path: (200, b"garbage"), lambda method, path: (401, {})])
def test_while_the_provider_is_in_trouble_nothing_is_concluded(pending, provider, fault):
    before = pending.records
    provider.fault = fault

    step(pending)

    assert (pending.state, pending.records) == (DomainState.PENDING, before)
    assert pending.error
    assert pending.next_check_at > NOW + MINUTE
    provider.fault = lambda method, path: None
    step(pending)
    assert pending.error == ""


def test_a_forgotten_domain_can_be_registered_again(pending, provider):
    provider.domains = {key: made for key, made in provider.domains.items() if made["domain"] != "acme.com"}

    step(pending)

    assert (pending.state, pending.provider_id, pending.next_check_at) == (DomainState.EXPIRED, "", None)
    assert pending.error == domainsteps.FORGOTTEN
    assert claim_of(pending).provider_id == ""
    check_now(domain=pending, now=NOW + timedelta(hours=1))
    step(pending)
    assert (pending.state, pending.error) == (DomainState.PENDING, "")
    assert [str(made["id"]) for made in alices(provider)] == [pending.provider_id]


def test_an_address_that_answers_404_to_everything_forgets_nothing(verified, provider):
    provider.fault = lambda method, path: (404, b"no such page")

    for _ in range(10):
        step(verified)

    assert (verified.state, verified.provider_id) == (DomainState.VERIFIED, claim_of(verified).provider_id)
    assert verified.error == "SendGrid answered 404 without saying why."


def test_a_domain_that_has_another_id_by_now_is_recognised(pending, provider):
    made = alices(provider)[0]
    del provider.domains[made["id"]]
    provider.domains[77] = {**made, "id": 77}

    step(pending)

    assert (pending.state, pending.provider_id, claim_of(pending).provider_id) == (DomainState.PENDING, "77", "77")


def test_two_workers_never_have_the_same_domain(pending):
    due = pending.next_check_at
    first, second = claim_domain(domain_id=pending.pk, now=due), claim_domain(domain_id=pending.pk, now=due)

    assert (first is not None, second) == (True, None)
    assert claim_domain(domain_id=pending.pk, now=due - MINUTE) is None


def test_a_worker_that_comes_back_too_late_changes_nothing(pending, provider):
    due = pending.next_check_at
    late = claim_domain(domain_id=pending.pk, now=due)
    provider.in_dns = EVERY_RECORD
    step(pending, due + CLAIM_LASTS)
    assert pending.state == DomainState.VERIFIED

    domainsteps._settle(late, {"state": DomainState.EXPIRED, "next_check_at": None}, due + 2 * CLAIM_LASTS)

    assert (fresh(pending).state, pending.next_check_at) == (DomainState.VERIFIED, due + CLAIM_LASTS + DAILY)


def test_a_domain_of_another_organisation_is_not_worked_on(alice, bob, bobs, provider):
    asked = len(provider.asked)
    with entered(alice):
        assert not carry_on(domain_id=bobs.pk, now=NOW)
    assert len(provider.asked) == asked


# --- losing


def test_a_hiccup_of_dns_is_no_loss(verified, provider):
    provider.in_dns = set()
    step(verified)
    assert (verified.state, verified.failures) == (DomainState.VERIFIED, 1)
    assert sender().is_own_domain

    provider.in_dns = EVERY_RECORD
    step(verified)

    assert (verified.state, verified.failures, verified.failing_since) == (DomainState.VERIFIED, 0, None)
    assert verified.verified_at == NOW + MINUTE


def test_records_missing_for_an_hour_are_a_loss(verified, provider):
    provider.in_dns = {"dkim1"}
    began = verified.next_check_at
    states = []
    while verified.state == DomainState.VERIFIED:
        states.append(step(verified).state)

    assert states == [DomainState.VERIFIED] * 4 + [DomainState.LOST]
    assert verified.lost_at == began + timedelta(hours=1)
    assert (verified.next_check_at, verified.told_at) == (verified.lost_at + MINUTE, None)
    assert not sender().is_own_domain
    assert trail()[-1] == "acme.com: verification lost"


def test_impatience_makes_no_loss(verified, provider):
    provider.in_dns = set()
    for second in range(0, 600, 10):
        check_now(domain=verified, now=NOW + timedelta(hours=2, seconds=second))
        step(verified)

    assert (verified.state, verified.failures) == (DomainState.VERIFIED, 60)


def test_trouble_at_the_provider_is_no_loss(verified, provider):
    provider.fault = down
    for _ in range(200):
        step(verified)

    assert (verified.state, verified.failures) == (DomainState.VERIFIED, 0)
    assert "answered 503" in verified.error


def test_a_lost_one_comes_back_by_itself_even_after_days(verified, provider):
    provider.in_dns = set()
    while verified.lost_at is None or verified.next_check_at < verified.lost_at + timedelta(days=5):
        step(verified)
    assert verified.state == DomainState.LOST
    EmailDomain.objects.update(told_at=NOW)

    provider.in_dns = EVERY_RECORD
    step(verified)

    assert (verified.state, verified.lost_at, verified.told_at) == (DomainState.VERIFIED, None, None)
    assert sender().is_own_domain
    assert trail()[-1] == "acme.com: verified"


def test_one_that_the_provider_forgot_is_lost_at_once(verified, provider):
    provider.domains = {key: made for key, made in provider.domains.items() if made["domain"] != "acme.com"}
    at = verified.next_check_at

    step(verified)

    assert (verified.state, verified.lost_at, verified.provider_id) == (DomainState.LOST, at, "")
    assert not sender().is_own_domain
    check_now(domain=verified, now=at + MINUTE)
    assert (step(verified).state, verified.lost_at) == (DomainState.PENDING, at)
    assert (step(verified).state, verified.lost_at) == (DomainState.VERIFIED, None)


# --- removing


def test_removing_takes_it_away_at_the_provider_and_then_here(verified, provider, bobs):
    remove_domain(domain=verified, now=NOW)

    assert not sender().is_own_domain
    assert carry_on(domain_id=verified.pk, now=NOW)
    assert [made["domain"] for made in provider.domains.values()] == [bobs.domain]
    assert not EmailDomain.objects.exists()
    assert list(SendingDomain.objects.values_list("domain", flat=True)) == [bobs.domain]
    assert trail()[-1] == "acme.com: gone at SendGrid too"
    create_domain(domain="acme.com")


def test_removing_is_tried_until_the_provider_has_done_it(verified, provider):
    provider.fault = down
    remove_domain(domain=verified, now=NOW)
    for _ in range(100):
        step(verified)

    assert (verified.state, "answered 503" in verified.error) == (DomainState.REMOVING, True)
    assert verified.next_check_at is not None
    provider.fault = lambda method, path: None
    assert carry_on(domain_id=verified.pk, now=verified.next_check_at)
    assert (alices(provider), EmailDomain.objects.count()) == ([], 0)


def test_a_lost_answer_to_removing_is_no_harm(verified, provider):
    provider.loses_answer_to = "DELETE"
    remove_domain(domain=verified, now=NOW)
    step(verified)
    assert (alices(provider), verified.state) == ([], DomainState.REMOVING)

    provider.loses_answer_to = ""
    assert carry_on(domain_id=verified.pk, now=verified.next_check_at)

    assert not EmailDomain.objects.exists()


def test_removing_finds_what_was_registered_and_never_written_down(domain, provider):
    provider.loses_answer_to = "POST"
    step(domain)
    provider.loses_answer_to = ""
    assert len(alices(provider)) == 1

    remove_domain(domain=domain, now=NOW)
    assert carry_on(domain_id=domain.pk, now=NOW)

    assert alices(provider) == []


# --- without SendGrid


def test_without_an_account_everything_waits_and_says_so(domain, provider, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")

    step(domain)

    assert (domain.state, domain.next_check_at) == (DomainState.REGISTERING, NOW + timedelta(hours=1))
    assert "need SendGrid" in domain.error
    remove_domain(domain=domain, now=NOW)
    assert carry_on(domain_id=domain.pk, now=NOW)  # it never got there
    assert not EmailDomain.objects.exists()


def test_without_an_account_what_is_registered_is_not_forgotten(verified, provider, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")
    remove_domain(domain=verified, now=NOW)

    step(verified)
    assert verified.state == DomainState.REMOVING

    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.test")
    assert carry_on(domain_id=verified.pk, now=verified.next_check_at)
    assert alices(provider) == []


def test_the_database_is_not_held_while_the_provider_answers(pending, provider):
    """Nothing is open or locked during a request but what the tests themselves have."""
    depth = len(connection.savepoint_ids)
    seen = []
    validate = domainsteps.DomainApi.validate

    def watch(self, provider_id):
        seen.append(len(connection.savepoint_ids))
        return validate(self, provider_id)

    domainsteps.DomainApi.validate = watch
    try:
        step(pending)
    finally:
        domainsteps.DomainApi.validate = validate

    assert seen == [depth]
