"""What the stand-ins remember after a restart."""

from __future__ import annotations

import asyncio
import json

import pytest

from sandbox.keeping import Keeper
from sandbox.sendgrid.account import MailAccount
from sandbox.stripe.api import Bank

BODY = {
    "personalizations": [{"to": [{"email": "ann@example.com"}]}],
    "from": {"email": "shop@example.com"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "See you"}],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sandbox.json"


def start(path):
    bank, mail = Bank("sk_own", "whsec_own"), MailAccount("SG.key")
    keeper = Keeper(path, bank=bank, mail=mail)
    keeper.load()
    return keeper, bank, mail


def accept(mail):
    async def go():
        posting = mail.accept(BODY, json.dumps(BODY).encode())
        await mail.settle()
        await mail.close()
        return posting

    return asyncio.run(go())


def test_customers_and_their_answers_are_there_again(path):
    keeper, bank, _ = start(path)
    customer = bank.own.add("customer", bank.own.new("customer", "cus", email="ann@example.com"))
    bank.own.tell("customer.created", customer)
    bank.own.answers["once"] = ("asked", {"id": customer["id"]})
    other = bank.open("sk_shop", "whsec_shop", name="A shop")
    other.add("customer", other.new("customer", "cus", email="bob@example.com"))
    other.tell("customer.created", {})
    keeper.save()

    _, again, _ = start(path)

    assert again.own.get("customer", customer["id"])["email"] == "ann@example.com"
    assert (again.own.id, again.own.answers) == (bank.own.id, {"once": ("asked", {"id": customer["id"]})})
    assert [one["email"] for one in again.accounts["sk_shop"].objects["customer"].values()] == ["bob@example.com"]
    assert again.accounts["sk_shop"].hooks.secret == "whsec_shop"


def test_messages_what_became_of_them_and_domains_are_there_again(path):
    keeper, _, mail = start(path)
    posting = accept(mail)
    domain = mail.domains.add({"domain": "shop.example"})
    mail.domains.publish("shop.example", True)
    domain.validate()
    keeper.save()

    _, _, again = start(path)

    found = again.find(f"{posting.id}.0")
    assert found is not None and found.letter().text == "See you"
    assert [event for event, *_ in found.events] == [event for event, *_ in posting.copies[0].events]
    assert again.domains.is_authenticated("shop.example")
    assert again.domains.add({"domain": "other.example"}).id != domain.id


def test_nothing_new_is_not_written_again(path):
    keeper, bank, _ = start(path)
    keeper.save()
    assert not path.exists()

    bank.own.tell("customer.created", {})
    keeper.save()
    path.unlink()
    keeper.save()

    assert not path.exists()


def test_a_broken_file_begins_anew(path):
    path.write_text('{"accounts": [')

    _, bank, mail = start(path)

    assert not bank.own.objects["customer"] and not mail.postings
