"""The client of SendGrid's Domain Authentication API, against sockets that misbehave."""

from __future__ import annotations

import pytest

from crm.email.providers.domain_api import DomainApi, DomainApiError, UnknownDomainError, domain_api
from crm.email.tests.domainprovider import EVERY_RECORD, ROOT, DomainProvider


@pytest.fixture
def provider():
    running = DomainProvider()
    yield running
    running.stop()


@pytest.fixture
def api(provider):
    return DomainApi(api_key="SG.secret", base_url=f"{provider.url}/")


def refusal(work):
    with pytest.raises(DomainApiError) as caught:
        work()
    return caught.value


def test_a_domains_whole_life(api, provider):
    made = api.create(domain="acme.com", subdomain="em7")
    before = api.validate(made.id)
    provider.in_dns = EVERY_RECORD
    after = api.validate(made.id)
    api.delete(made.id)
    api.delete(made.id)

    assert (made.domain, made.subdomain, made.id.isdecimal()) == ("acme.com", "em7", True)
    assert [(record.key, record.type, record.host, record.data) for record in made.records] == [
        ("mail_cname", "CNAME", "em7.acme.com", "wl.test"),
        ("dkim1", "CNAME", "s1._domainkey.acme.com", "wl.test"),
        ("dkim2", "CNAME", "s2._domainkey.acme.com", "wl.test"),
    ]
    assert (before.is_valid, after.is_valid) == (False, True)
    assert (before.findings["dkim1"].is_valid, before.findings["dkim1"].reason) == (False, "Expected CNAME for dkim1")
    assert after.findings["dkim1"].reason == ""
    assert provider.domains == {}
    assert provider.keys == {"Bearer SG.secret"}


def test_only_the_very_name_is_found(api, provider):
    provider.add("acme.com", "em1")
    provider.add("notacme.com", "em2")
    provider.add("mail.acme.com", "em3")

    assert [found.subdomain for found in api.find("acme.com")] == ["em1"]
    assert api.find("other.com") == []


def test_a_forgotten_id_is_told_apart(api):
    with pytest.raises(UnknownDomainError):
        api.validate("12")


@pytest.mark.parametrize(
    ("status", "answer", "is_passing", "words"),
    [
        (400, {"errors": [{"message": "Taken."}, {"message": "Really."}]}, False, "Taken. Really."),
        (400, {"errors": "no list"}, False, "SendGrid answered 400 without saying why."),
        (400, b"<html>", False, "SendGrid answered 400 without saying why."),
        (400, {"errors": [{"message": "x" * 5000}]}, False, "x" * 300),
        (401, {"errors": [{"message": "authorization required"}]}, True, "authorization required"),
        (403, {"errors": [{"message": "access forbidden"}]}, True, "access forbidden"),
        (429, {}, True, "SendGrid is in trouble and answered 429."),
        (500, b"", True, "SendGrid is in trouble and answered 500."),
        (503, b"x" * 100_000, True, "SendGrid is in trouble and answered 503."),
        (302, b"", True, "SendGrid is in trouble and answered 302."),
        (200, b"not JSON", True, "SendGrid gave an answer that cannot be read."),
        (200, {"valid": "yes"}, True, "SendGrid gave an answer that cannot be read."),
        (200, [], True, "SendGrid gave an answer that cannot be read."),
        (200, None, True, "SendGrid gave an answer that cannot be read."),
        (204, None, True, "SendGrid gave an answer that cannot be read."),
    ],
)
def test_whatever_is_answered_is_a_result_or_our_error(api, provider, status, answer, is_passing, words):
    provider.fault = lambda method, path: (status, answer)

    errors = [refusal(lambda: api.validate("1")), refusal(lambda: api.create(domain="a.com", subdomain="e"))]

    assert [(error.is_passing, str(error)) for error in errors] == [(is_passing, words)] * 2
    assert errors[0].retry_after_s == (1800 if is_passing and status >= 300 else None)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../x"},
        {"id": None},
        {"dns": []},
        {"dns": {"dkim1": {"type": "cname"}}},
        {"dns": {"dkim1": "text"}},
        {"domain": None, "dns": None},
    ],
)
def test_a_registration_with_something_missing_is_not_believed(api, provider, change):
    good = provider.add("acme.com")
    provider.fault = lambda method, path: (201, {**good, **change})

    assert refusal(lambda: api.create(domain="acme.com", subdomain="em1")).is_passing


def test_records_are_bounded(api, provider):
    record = {"type": "txt" * 50, "host": "h" * 5000, "data": "d" * 5000}
    good = provider.add("acme.com")
    provider.fault = lambda method, path: (201, {**good, "dns": {f"key{n}": record for n in range(500)}})

    records = api.create(domain="acme.com", subdomain="em1").records

    assert len(records) == 12
    assert max(len(entry.type) + len(entry.host) + len(entry.data) for entry in records) < 2400


def test_nobody_there(unused_port):
    api = DomainApi(api_key="SG.secret", base_url=f"http://127.0.0.1:{unused_port}")

    for work in (lambda: api.find("acme.com"), lambda: api.delete("1")):
        error = refusal(work)
        assert (error.is_passing, error.status, str(error)) == (True, None, "SendGrid could not be reached.")
        assert "SG.secret" not in repr(error)


def test_a_lost_answer_is_no_answer(api, provider):
    provider.loses_answer_to = "POST"

    error = refusal(lambda: api.create(domain="acme.com", subdomain="em1"))

    assert (error.is_passing, error.status) == (True, None)
    assert provider.asked == [("POST", ROOT)]  # not sent twice by itself
    assert len(provider.domains) == 1


def test_without_a_key_there_is_none(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "")
    assert domain_api() is None
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.x")
    assert domain_api() is not None
