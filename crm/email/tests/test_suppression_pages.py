"""The suppression list: looking an address up, putting it on, taking it off."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from crm.email.enums import SuppressionReason
from crm.email.models import Suppression
from crm.email.selectors.suppressions import suppression_page
from crm.email.tests.mailing_factories import make_message, make_suppression
from crm.models import Contact
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent

PAGE = "/settings/email/suppressions/"


@pytest.fixture
def client(visit, owner):
    return visit(owner)


@pytest.fixture
def entries(alice):
    with entered(alice):
        return [
            make_suppression("ann@example.com", "unsubscribed"),
            make_suppression("ben@example.com", "bounced", detail="550 5.1.1 unknown"),
            make_suppression("ben@example.com", "spam"),
            make_suppression("cleo@example.com", "person", lifted_at=timezone.now()),
        ]


@pytest.fixture
def bobs(bob):
    with entered(bob):
        return make_suppression("secret@bob.test", "spam")


def plain(answer):
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def shown(answer):
    return re.findall(r'<td class="breaks">([^<]*)</td>', answer.content.decode())


def standing(tenant):
    with entered(tenant):
        return sorted((row.email, row.reason) for row in Suppression.objects.standing())


def test_an_empty_list_explains_itself(client, bobs):
    page = plain(client.get(PAGE))

    assert "Nobody is on the list" in page and "bob.test" not in page


def test_the_list_shows_who_and_why(client, entries, bobs):
    page = client.get(PAGE)

    assert sorted(shown(page)) == ["ann@example.com", "ben@example.com", "ben@example.com"]
    assert "550 5.1.1 unknown" in plain(page)
    assert "all 3 unsubscribed 1 address does not exist 1 reported us as spam 1 taken off again" in plain(page)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?reason=bounced", ["ben@example.com"]),
        ("?reason=lifted", ["cleo@example.com"]),
        ("?reason=invalid", []),
        ("?address=BEN@example.com ", ["ben@example.com", "ben@example.com"]),
        ("?address=ben@example.com&reason=spam", ["ben@example.com"]),
        ("?address=cleo@example.com", []),
        ("?address=ben", []),  # found by the whole of it only
        ("?address=secret@bob.test", []),
        ("?reason=nonsense&page=nonsense", ["ann@example.com", "ben@example.com", "ben@example.com"]),
    ],
)
def test_the_list_is_filtered_and_searched(client, entries, bobs, query, found):
    assert sorted(shown(client.get(f"{PAGE}{query}"))) == found


def test_what_is_not_found_is_said(client, entries):
    assert "It is not on the list" in plain(client.get(f"{PAGE}?address=zoe@example.com"))
    assert "No address is here for this reason" in plain(client.get(f"{PAGE}?reason=invalid"))


def test_a_long_list_has_pages(alice, client, monkeypatch):
    monkeypatch.setattr("crm.email.selectors.suppressions.PAGE_SIZE", 2)
    with entered(alice):
        for number in range(3):
            make_suppression(f"p{number}@example.com", "spam")

    first, second = client.get(f"{PAGE}?reason=spam"), client.get(f"{PAGE}?reason=spam&page=2")

    assert (len(shown(first)), len(shown(second))) == (2, 1)
    assert "?reason=spam&amp;page=2" in first.content.decode()


def test_an_entry_leads_to_the_message_that_caused_it(alice, client):
    with entered(alice):
        message = make_message(subject="Hello", text="…")
        make_suppression("ann@example.com", "spam", message=message)

    assert f"/crm/email/messages/{message.pk}/" in client.get(PAGE).content.decode()


def test_an_address_is_put_on_the_list(alice, bob, client, owner):
    answer = client.post(f"{PAGE}add/", {"address": "Ann@Example.com", "reason": "person"}, follow=True)

    assert "Nobody here writes to this address any more." in plain(answer)
    assert standing(alice) == [("Ann@Example.com", "person")]
    assert standing(bob) == []
    assert AuditEvent.objects.filter(action=AuditAction.SUPPRESSION_CHANGED, actor=owner).count() == 1


def test_unsubscribing_by_hand_is_a_wish_of_the_contact(alice, client):
    with entered(alice):
        ann = make_contact(contact_email="ann@example.com")

    client.post(f"{PAGE}add/", {"address": "ann@example.com", "reason": "unsubscribed"})

    with entered(alice):
        assert Contact.objects.get(pk=ann.pk).do_not_mail_at is not None


def test_twice_is_once(alice, client, entries):
    answer = client.post(f"{PAGE}add/", {"address": "ann@example.com", "reason": "unsubscribed"}, follow=True)

    assert "on the list already" in plain(answer)
    assert len(standing(alice)) == 3


@pytest.mark.parametrize(
    "values",
    [
        {"address": "", "reason": "person"},
        {"address": "nonsense", "reason": "person"},
        {"address": "ann@example.com", "reason": "bounced"},
        {"address": "ann@example.com", "reason": ""},
        {"address": f"{'x' * 250}@example.com", "reason": "person"},
    ],
)
def test_bad_entries_are_explained(alice, client, values):
    answer = client.post(f"{PAGE}add/", values)

    assert answer.status_code == 422
    assert "field__error" in answer.content.decode()
    assert standing(alice) == []


def test_lifting_can_be_undone(alice, client, entries, owner):
    ann = entries[0]

    lifted = client.post(f"{PAGE}{ann.pk}/lift/", follow=True)
    assert "can be written to again" in plain(lifted)
    assert [message.extra_tags for message in lifted.context["messages"]] == [f"suppress:{ann.pk}"]
    assert ("ann@example.com", "unsubscribed") not in standing(alice)
    assert "already" in plain(client.post(f"{PAGE}{ann.pk}/lift/", follow=True))

    back = client.post(f"{PAGE}{ann.pk}/return/", follow=True)
    assert "Back on the list." in plain(back)
    assert ("ann@example.com", "unsubscribed") in standing(alice)
    assert "already" in plain(client.post(f"{PAGE}{ann.pk}/return/", follow=True))
    assert len(standing(alice)) == 3
    assert AuditEvent.objects.filter(action=AuditAction.SUPPRESSION_CHANGED, actor=owner).count() == 2


def test_lifting_one_reason_leaves_the_other(alice, client, entries):
    client.post(f"{PAGE}{entries[1].pk}/lift/")

    assert ("ben@example.com", "spam") in standing(alice)


def test_what_came_back_keeps_its_detail(alice, client, entries):
    client.post(f"{PAGE}{entries[1].pk}/lift/")
    client.post(f"{PAGE}{entries[1].pk}/return/")

    with entered(alice):
        row = Suppression.objects.standing().get(reason=SuppressionReason.BOUNCED)
        assert (row.detail, row.pk != entries[1].pk) == ("550 5.1.1 unknown", True)


def test_another_tenants_entries_are_not_found(bob, client, bobs):
    assert {client.post(f"{PAGE}{bobs.pk}/{name}/").status_code for name in ("lift", "return")} == {404}
    assert standing(bob) == [("secret@bob.test", "spam")]


def test_members_and_strangers_change_nothing(alice, visit, member, stranger, entries):
    for user, code in ((member, 403), (stranger, 404)):
        assert visit(user).get(PAGE).status_code == code
        assert visit(user).post(f"{PAGE}add/", {"address": "x@example.com", "reason": "person"}).status_code == code
        assert visit(user).post(f"{PAGE}{entries[0].pk}/lift/").status_code == code

    assert len(standing(alice)) == 3


def test_wrong_methods(client, entries):
    assert client.post(PAGE).status_code == 405
    assert {
        client.get(f"{PAGE}{path}/").status_code for path in ("add", f"{entries[0].pk}/lift", f"{entries[0].pk}/return")
    } == {405}


def test_counts_are_of_what_stands(in_alice):
    make_suppression("a@example.com", "spam")
    make_suppression("b@example.com", "spam", lifted_at=timezone.now())

    found = suppression_page(reason="spam")

    assert (found.total, dict(found.counts)[SuppressionReason.SPAM], found.is_empty) == (1, 1, False)
