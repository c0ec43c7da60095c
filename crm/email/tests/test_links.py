from __future__ import annotations

import uuid

import pytest
from django.core import signing

from crm.email.services.links import (
    LinkError,
    preferences_url,
    read_reply_address,
    read_token,
    reply_address,
    unsubscribe_url,
)
from tenants.context import NoTenantError, entered

MESSAGE = uuid.UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture
def inbound(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "in.example.com")


def test_a_link_says_whose_message_it_was_in(in_alice, settings):
    for url, kind in ((unsubscribe_url(MESSAGE), "u"), (preferences_url(str(MESSAGE)), "p")):
        base, token = url.rsplit("/", 1)
        assert base == f"{settings.PUBLIC_URL}/mail/{kind}"
        assert read_token(token) == (in_alice.schema_name, MESSAGE)


def test_links_of_another_organisation_are_others(in_alice, bob):
    token = unsubscribe_url(MESSAGE).rsplit("/", 1)[1]
    with entered(bob):
        theirs = unsubscribe_url(MESSAGE).rsplit("/", 1)[1]

    assert read_token(token)[0] == in_alice.schema_name
    assert read_token(theirs)[0] == bob.schema_name


@pytest.mark.parametrize(
    "token",
    ["", "x", "a:b", "a:b:c", signing.dumps(["s", "x"]), signing.dumps(5, salt="crm_email.links")],
    ids=["empty", "a letter", "two parts", "three parts", "another salt", "another shape"],
)
def test_tokens_that_are_not_ours(token):
    with pytest.raises(LinkError):
        read_token(token)


def test_a_token_that_was_changed(in_alice):
    token = unsubscribe_url(MESSAGE).rsplit("/", 1)[1]
    with pytest.raises(LinkError):
        read_token(token[:-1] + ("A" if token[-1] != "A" else "B"))


def test_no_link_without_an_organisation():
    with pytest.raises(NoTenantError):
        unsubscribe_url(MESSAGE)


def test_an_answer_finds_its_message_whatever_mail_servers_do_to_the_address(in_alice, inbound):
    address = reply_address(MESSAGE)
    local, _, host = address.partition("@")

    assert host == "in.example.com" and len(local) <= 64
    for written in (address, address.upper(), f" <{address}> "):
        assert read_reply_address(written) == (in_alice.schema_name, MESSAGE)


@pytest.mark.parametrize(
    "change", [lambda a: a.replace("r+", "s+"), lambda a: a.replace("in.", "out."), lambda a: "r+" + a[4:]]
)
def test_addresses_that_are_not_ours(in_alice, inbound, change):
    assert read_reply_address(change(reply_address(MESSAGE))) is None


@pytest.mark.parametrize(
    "address", ["", "@", "r+@in.example.com", "r+!!@in.example.com", "r+aaaaaaaa@in.example.com", "ann"]
)
def test_addresses_that_nobody_made(inbound, address):
    assert read_reply_address(address) is None


def test_an_address_cannot_be_made_for_another_organisation(in_alice, bob, inbound):
    mine = reply_address(MESSAGE)
    with entered(bob):
        assert reply_address(MESSAGE) != mine


def test_no_address_without_a_host(in_alice):
    assert reply_address(MESSAGE) == ""
    assert read_reply_address("r+abc@") is None
