"""The pages: who may see them, what they show, what their buttons do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.template import Context, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.services.domains import MAX_DOMAINS
from tenants.context import entered
from tenants.models import AuditEvent, SendingDomain

LIST = "/settings/email/domains/"
RECORDS = [
    {"key": "mail_cname", "type": "CNAME", "host": "em9.acme.com", "data": "u1.wl.test", "valid": True, "reason": ""},
    {
        "key": "dkim1",
        "type": "CNAME",
        "host": "s1._domainkey.acme.com",
        "data": "s1.test",
        "valid": False,
        "reason": "<b>No</b>",
    },
    {"key": "novel", "type": "TXT", "host": "acme.com", "data": 'v="1"', "valid": None, "reason": ""},
]


@pytest.fixture(autouse=True)
def account(settings, monkeypatch, unused_port):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.test")
    monkeypatch.setattr(settings.ENV, "sendgrid_api_url", f"http://127.0.0.1:{unused_port}")


def make(tenant, name="acme.com", **fields):
    values = {"state": DomainState.PENDING, "provider_id": "1", "records": RECORDS, **fields}
    with entered(tenant):
        SendingDomain.objects.create(domain=name, tenant=tenant)
        return EmailDomain.objects.create(domain=name, **values)


@pytest.fixture
def domain(alice):
    in_an_hour = timezone.now() + timedelta(minutes=61)
    return make(alice, next_check_at=in_an_hour, check_until=timezone.now() + timedelta(hours=50))


@pytest.fixture
def bobs(bob):
    return make(bob, "bobs-secret.com", pk=7001)


def rows(tenant):
    with entered(tenant):
        return list(EmailDomain.objects.order_by("pk").values())


def change(tenant, **fields):
    with entered(tenant):
        EmailDomain.objects.update(**fields)


def read(client, path, **options):
    return " ".join(client.get(path, **options).content.decode().split())


def test_pages_open_for_owners_and_admins(domain, visit, owner, admin):
    for user in (owner, admin):
        paths = (LIST, f"{LIST}new/", f"{LIST}{domain.pk}/")
        assert [visit(user).get(path).status_code for path in paths] == [200] * 3


def test_others_see_and_change_nothing(alice, domain, visit, member, stranger):
    before = rows(alice)
    at = f"{LIST}{domain.pk}/"

    for path in (LIST, f"{LIST}new/", at):
        assert visit().get(path).url.startswith("/accounts/login/")
        assert visit(member).get(path).status_code == 403
        assert visit(stranger).get(path).status_code == 404
    for path in (f"{LIST}new/", f"{at}check/", f"{at}remove/"):
        assert visit().post(path, {"domain": "x.com"}).url.startswith("/accounts/login/")
        assert visit(member).post(path, {"domain": "x.com"}).status_code == 403
        assert visit(stranger).post(path, {"domain": "x.com"}).status_code == 404
    assert rows(alice) == before


def test_another_tenants_domain_is_not_found(domain, bob, bobs, visit, owner):
    before, client = rows(bob), visit(owner)

    assert client.get(f"{LIST}{bobs.pk}/").status_code == 404
    assert [client.post(f"{LIST}{bobs.pk}/{name}/").status_code for name in ("check", "remove")] == [404, 404]
    assert "bobs-secret" not in read(client, LIST)
    assert rows(bob) == before


def test_wrong_methods_and_forged_posts(domain, visit, owner):
    client = visit(owner)
    forger = Client(enforce_csrf_checks=True, headers={"host": "alice.test", "x-forwarded-proto": "https"})
    forger.force_login(owner)

    assert [client.get(f"{LIST}{domain.pk}/{name}/").status_code for name in ("check", "remove")] == [405, 405]
    assert [client.post(path).status_code for path in (LIST, f"{LIST}{domain.pk}/")] == [405, 405]
    assert [forger.post(f"{LIST}{domain.pk}/{name}/").status_code for name in ("check", "remove")] == [403, 403]


def test_an_empty_list_explains_why_one_wants_a_domain(alice, bobs, visit, owner):
    page = read(visit(owner), LIST)

    assert "Write from your own domain" in page
    assert f"{LIST}new/" in page


def test_without_sendgrid_the_pages_say_so(alice, domain, visit, owner, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")
    client = visit(owner)

    for path in (LIST, f"{LIST}new/", f"{LIST}{domain.pk}/"):
        assert "Sending domains need SendGrid." in read(client, path)
    assert "Check now" not in read(client, f"{LIST}{domain.pk}/")
    assert "Write from your own domain" not in read(client, LIST)
    answer = client.post(f"{LIST}new/", {"domain": "other.com"})
    assert (answer.status_code, "need SendGrid, and this" in answer.content.decode()) == (422, True)


def test_entering_leads_to_the_domains_page(alice, visit, owner):
    client = visit(owner)

    answer = client.post(f"{LIST}new/", {"domain": " https://Müller.de "})

    (row,) = rows(alice)
    assert answer.url == f"{LIST}{row['id']}/"
    page = read(client, answer.url)
    assert "müller.de" in page
    assert "xn--mller-kva.de" in page
    assert "Being registered" in page
    assert 'hx-trigger="every 5s"' in page
    assert AuditEvent.objects.filter(actor=owner, target="xn--mller-kva.de: entered").exists()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "This field is required."),
        ("co.uk", "co.uk is a public ending"),
        ("gmial.com", "Did you mean gmail.com?"),
        ("bobs-secret.com", "is in use at another organisation here"),
        ("<script>alert(1)</script>", "cannot contain “&gt;”"),
        ("a" * 2000, "at most 1000 characters"),
    ],
)
def test_bad_input_is_explained_and_kept(alice, bobs, visit, owner, typed, words):
    answer = visit(owner).post(f"{LIST}new/", {"domain": typed})

    page = answer.content.decode()
    assert (answer.status_code, words in page) == (422, True)
    assert "<script>alert" not in page
    assert "Bob" not in page
    assert rows(alice) == []


def test_the_page_shows_each_record_to_copy(domain, visit, owner):
    page = read(visit(owner), f"{LIST}{domain.pk}/")

    assert "1 of 3 found." in page
    for value in (
        "em9.acme.com",
        "em9",
        "s1._domainkey",
        "u1.wl.test",
        "v=&quot;1&quot;",
        "@",
        "_dmarc",
        "v=DMARC1; p=none",
    ):
        assert f'value="{value}"' in page
    assert page.count("data-copy=") == 3 * 3 + 2
    for words in ("Found", "Not found yet", "Not looked at yet", "SendGrid says: &lt;b&gt;No&lt;/b&gt;", "DKIM"):
        assert words in page
    assert "in 1 hour" in page
    assert "We look for another 2 days" in page


@pytest.mark.parametrize(
    ("fields", "words", "button"),
    [
        ({"state": "registering", "provider_id": "", "records": []}, "SendGrid is being asked", "Check now"),
        (
            {"state": "registering", "provider_id": "", "error": "Away."},
            "Away. We try again by ourselves.",
            "Try again now",
        ),
        (
            {"state": "registering", "provider_id": "", "error": "Taken.", "next_check_at": None},
            "SendGrid did not take this domain.",
            "Try again now",
        ),
        ({"state": "verified", "verified_at": timezone.now()}, "Your e-mail is sent from this domain.", "Check now"),
        ({"state": "verified", "failing_since": timezone.now()}, "That can be a hiccup of DNS", "Check now"),
        ({"state": "lost", "lost_at": timezone.now()}, "the domain is then used again by itself", "Check now"),
        ({"state": "lost", "provider_id": "", "next_check_at": None}, "Register it again", "Register again"),
        ({"state": "expired", "next_check_at": None}, "We have looked for three days", "Check again"),
        ({"state": "expired", "provider_id": "", "next_check_at": None}, "Register it again", "Register again"),
        ({"state": "removing"}, "It is being taken away at SendGrid", "Try again now"),
    ],
)
def test_each_state_has_its_words_and_its_button(alice, domain, visit, owner, fields, words, button):
    change(alice, **fields)
    client = visit(owner)

    page = read(client, f"{LIST}{domain.pk}/")

    assert words in page
    assert f">{button}</button>" in page
    assert ("/remove/" in page) == (fields["state"] != "removing")
    assert client.get(LIST).status_code == 200


def test_what_changes_by_itself_is_asked_for_and_the_records_only_when_they_are_new(alice, domain, visit, owner):
    client, at = visit(owner), f"{LIST}{domain.pk}/"
    stamp = f"{domain.state} 0"

    same = client.get(at, {"stamp": stamp}, headers={"hx-request": "true"}).content.decode()
    change(alice, checked_at=timezone.now())
    other = client.get(at, {"stamp": stamp}, headers={"hx-request": "true"}).content.decode()

    assert same.startswith('<section class="card" id="domain-status"')
    assert ("domain-records" in same, "domain-records" in other) == (False, True)
    assert 'hx-swap-oob="true"' in other
    assert "<html" not in other
    assert ("Look again" in other, "Look again" in client.get(at).content.decode()) == (False, True)


def test_records_of_a_registration_that_is_gone_are_not_shown(alice, domain, visit, owner):
    change(alice, state=DomainState.LOST, provider_id="", next_check_at=None)

    assert "data-copy" not in read(visit(owner), f"{LIST}{domain.pk}/")


def test_watching_ends_when_nothing_changes_any_more(alice, domain, visit, owner):
    client, at = visit(owner), f"{LIST}{domain.pk}/"
    assert 'hx-trigger="every 5s"' in read(client, at)
    change(alice, state=DomainState.VERIFIED)
    assert 'hx-trigger="every 60s"' in read(client, at)
    change(alice, state=DomainState.EXPIRED, next_check_at=None)
    assert "hx-trigger" not in read(client, at)

    with entered(alice):
        EmailDomain.objects.all().delete()
    gone = client.get(at, headers={"hx-request": "true"})
    assert (gone.status_code, gone["HX-Redirect"]) == (200, LIST)
    assert client.get(at).status_code == 404


def test_check_now(alice, domain, visit, owner):
    client, at = visit(owner), f"{LIST}{domain.pk}/"

    page = " ".join(client.post(f"{at}check/", follow=True).content.decode().split())

    assert "It is being looked at." in page
    assert "<dt>Next look</dt><dd>now</dd>" in page
    assert 'type="submit" disabled>Check now' in page
    assert rows(alice)[0]["next_check_at"] <= timezone.now()
    change(alice, checked_at=timezone.now())
    assert "Ask again in" in client.post(f"{at}check/", follow=True).content.decode()


def test_removing(alice, domain, visit, owner):
    client, at = visit(owner), f"{LIST}{domain.pk}/"

    assert client.post(f"{at}remove/").url == LIST

    assert "Being removed" in read(client, LIST)
    assert "data-copy" not in read(client, at)
    assert rows(alice)[0]["state"] == DomainState.REMOVING


def test_the_list_takes_the_same_queries_for_one_and_for_many(alice, domain, visit, owner):
    client = visit(owner)

    def count():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        return len(queries)

    count()
    before = count()
    for number in range(MAX_DOMAINS - 1):
        make(alice, f"acme{number}.com")

    assert count() == before
    page = read(client, LIST)
    assert "There is room for 10 domains" in page
    assert f'href="{LIST}new/"' not in page


def test_of_several_verified_ones_the_list_names_the_one_in_use(alice, visit, owner):
    make(alice, "second.com", state=DomainState.VERIFIED, verified_at=timezone.now())
    make(alice, "first.com", state=DomainState.VERIFIED, verified_at=timezone.now() - timedelta(days=1))

    page = read(visit(owner), LIST)

    assert page.count("Your e-mail is sent from here") == 1
    assert page.index("first.com</strong>") < page.index("Your e-mail is sent from here")


def banner(tenant):
    with entered(tenant):
        text = Template("{% load email_domains %}{% lost_sending_domains %}").render(Context({"tenant": tenant}))
    return " ".join(text.split())


def test_the_banner_names_what_is_lost_and_nothing_else(alice, bob, domain, bobs):
    assert banner(alice) == ""
    change(bob, state=DomainState.LOST, lost_at=timezone.now())
    assert banner(alice) == ""

    change(alice, state=DomainState.LOST, lost_at=timezone.now())
    assert "<strong>acme.com</strong> cannot be used for e-mail any more." in banner(alice)
    assert "from the platform’s own address meanwhile" in banner(alice)
    assert f'href="{LIST}{domain.pk}/"' in banner(alice)
    make(alice, "other.com", state=DomainState.VERIFIED, verified_at=timezone.now())
    assert "from another domain of yours meanwhile" in banner(alice)
    change(alice, state=DomainState.REMOVING)
    assert banner(alice) == ""
