from __future__ import annotations

import pytest
from django.db import connection

from crm import tallies
from crm.models import Contact, ContactStatus, Tally
from crm.services.contacts import ConflictError, create_contact, find_duplicates, update_contact
from crm.tests.factories import make_contact
from tenants.context import entered


def totals(metric: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in Tally.objects.filter(metric=metric):
        found[row.key] = found.get(row.key, 0) + row.count
    return {key: count for key, count in found.items() if count}


def test_a_new_tenant_has_statuses(in_alice):
    assert [status.key for status in ContactStatus.objects.all()][:2] == ["lead", "prospect"]


def test_create_keeps_numbers_and_addresses_unreadable(in_alice, owner):
    contact = create_contact(
        values={
            "contact_name": "Ann",
            "contact_email": "ann@example.com",
            "phones": [{"label": "", "number": "+15551234567"}],
        },
        by=owner,
    )

    with connection.cursor() as cursor:
        cursor.execute("SELECT crm_contact::text FROM crm_contact WHERE id = %s", [contact.pk])
        (row,) = cursor.fetchone()
    assert "ann@" not in row and "5551234567" not in row
    assert Contact.objects.with_phone("+15551234567").get() == contact
    assert Contact.objects.with_email("ANN@example.com").get() == contact


def test_tallies_follow_every_change(in_alice, bob):
    one, two = make_contact(status="lead"), make_contact(status="lead")
    Contact.objects.filter(pk=one.pk).update(status="customer")
    Contact.objects.filter(pk=two.pk).delete()
    with entered(bob):
        make_contact(status="prospect")
        assert totals("contacts") == {"prospect": 1}

    assert totals("contacts") == {"customer": 1}
    assert totals("created") == {"": 1}
    before = Tally.objects.count()
    assert tallies.compact() == before - Tally.objects.count() > 0
    assert totals("contacts") == {"customer": 1}


def test_update_of_a_contact_somebody_else_changed_is_refused(in_alice, owner):
    contact = make_contact()
    update_contact(contact=contact, values={"city": "Bonn"}, version=1)

    with pytest.raises(ConflictError) as refused:
        update_contact(contact=contact, values={"city": "Köln"}, version=1)

    assert refused.value.current.city == "Bonn"
    assert Contact.objects.get(pk=contact.pk).version == 2


def test_duplicates_by_each_rule(in_alice):
    mail = make_contact("A", contact_email="a@example.com")
    number = make_contact("B", phone="+15550001111")
    name = make_contact("Cy", business_name="Firm")
    make_contact("Other")

    found = find_duplicates(email="A@example.com", numbers=["+15550001111"], contact_name="cy", business_name="firm")

    assert {duplicate.contact.pk: duplicate.reasons for duplicate in found} == {
        mail.pk: ["same e-mail address"],
        number.pk: ["same number"],
        name.pk: ["same name in the same business"],
    }


def test_what_nobody_said_a_version_of_is_written_whoever_was_quicker(in_alice, owner):
    from crm.enums import FactSource
    from crm.services.contacts import set_do_not_contact
    from crm.services.merging import merge_contacts

    stale, other = make_contact("Ann"), make_contact("Anne")
    update_contact(contact=stale, values={"city": "Ulm"})
    merge_contacts(kept=other, merged=Contact.objects.get(pk=stale.pk), take={}, by=owner)

    set_do_not_contact(contact=stale, source=FactSource.CALL)

    other.refresh_from_db()
    assert other.do_not_call_at is not None and other.do_not_call_source == "call"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/crm/suggestions/nope/", 404),
        ("/crm/contacts/?created_to=9999-12-31", 200),
        ("/crm/board/?created_to=9999-12-31", 200),
        ("/api/v1/contacts/?created_to=9999-12-31", 400),
        ("/api/v1/contacts/?page_size=00000000100000", 400),
        ("/api/v1/interactions/?contact=" + "9" * 5000, 400),
        ("/crm/contacts/?sort=name&cursor=WyJuYW1lIiwgIlx1ZDgwMCIsIDFd", 200),
        ("/crm/contacts/?cursor=" + "W1tb" * 3000, 200),
        ("/crm/tasks/?page=999", 200),
    ],
)
def test_hostile_addresses_are_answered(path, status, visit, owner, in_alice):
    assert visit(owner).get(path).status_code == status


def test_a_number_written_as_at_home_is_found(in_alice, alice):
    from django.http import QueryDict

    from crm.models import CrmSettings
    from crm.selectors.contacts import contacts_for

    CrmSettings.objects.update(phone_region="DE")
    ann = make_contact(phone="+4915123456789")
    assert contacts_for(QueryDict("q=0151 23456789"), tenant=alice, user=None).get() == ann
