"""One question for every channel, and every change of a wish in the audit trail."""

from __future__ import annotations

import pytest

from crm.enums import FactSource
from crm.models import Contact
from crm.services.contactability import Channel, may_contact
from crm.services.contacts import bin_contacts, create_contact, set_do_not_contact, update_contact
from crm.services.merging import merge_contacts
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.models import AuditEvent

pytestmark = pytest.mark.django_db
NUMBER, ADDRESS = "+15557001", "ann@example.com"


def ann(**values):
    return make_contact("Ann", phone=NUMBER, contact_email=ADDRESS, **values)


@pytest.mark.parametrize(
    ("wish", "closed"),
    [
        ({}, set()),
        ({"do_not_call": True}, {Channel.CALL, Channel.TEXT}),
        ({"do_not_mail": True}, {Channel.EMAIL}),
        ({"do_not_call": True, "do_not_mail": True}, set(Channel)),
    ],
)
@pytest.mark.parametrize("known_by", ["contact", "number and address"])
def test_a_wish_closes_its_channels(in_alice, bob, wish, closed, known_by):
    contact = ann(**wish)
    whom = {"contact": contact} if known_by == "contact" else {"number": NUMBER, "address": ADDRESS}
    assert {channel for channel in Channel if may_contact(channel=channel, **whom) is not None} == closed
    with entered(bob):
        assert all(may_contact(channel=channel, number=NUMBER, address=ADDRESS) is None for channel in Channel)


def test_a_refusal_says_where_the_wish_comes_from(in_alice):
    set_do_not_contact(contact=ann(), source=FactSource.CALL)
    refusal = may_contact(channel=Channel.TEXT, number=NUMBER)
    assert refusal is not None and refusal.code == "do-not-contact"
    assert str(refusal) == "They do not want text messages (said in a call). Nothing was sent."


def test_one_of_several_contacts_with_a_number_is_enough_and_the_bin_does_not_matter(in_alice):
    make_contact("Anne", phone=NUMBER)
    bin_contacts(ids=[ann(do_not_call=True).pk])
    assert may_contact(channel=Channel.TEXT, number=NUMBER) is not None


def test_nobody_in_particular_may_be_contacted(in_alice):
    ann(do_not_call=True)
    assert may_contact(channel=Channel.TEXT) is None


def trail():
    return list(AuditEvent.objects.filter(action="do-not-contact").order_by("pk").values_list("target", flat=True))


def test_each_change_of_a_wish_is_in_the_audit_trail_with_its_source(in_alice, owner):
    contact = ann()
    assert trail() == []
    set_do_not_contact(contact=contact, source=FactSource.CALL, mail=False)
    set_do_not_contact(contact=contact, source=FactSource.PERSON, by=owner)
    update_contact(contact=contact, values={"do_not_call": False, "city": "Bonn"}, by=owner)
    update_contact(contact=contact, values={"city": "Ulm"})
    assert trail() == [
        f"contact {contact.pk}: wants no calls and text messages (said in a call)",
        f"contact {contact.pk}: wants no e-mail (entered by a person)",
        f"contact {contact.pk}: may get calls and text messages again (was: said in a call)",
    ]
    events = AuditEvent.objects.filter(action="do-not-contact").order_by("pk")
    assert [event.actor for event in events] == [None, owner, owner]
    assert {event.tenant for event in events} == {in_alice}


def test_wishes_of_new_and_merged_contacts_are_in_the_trail_too(in_alice, owner):
    phones = [{"label": "", "number": NUMBER}]
    second = create_contact(values={"contact_name": "B", "phones": phones, "do_not_mail": True}, by=owner)
    first = make_contact("A")
    merge_contacts(kept=first, merged=second, take={}, by=owner)
    assert trail() == [
        f"contact {second.pk}: wants no e-mail (entered by a person)",
        f"contact {first.pk}: wants no e-mail (entered by a person)",
    ]


def test_a_wish_that_is_not_saved_is_not_in_the_trail(in_alice):
    from django.db import transaction

    contact = ann()
    with pytest.raises(RuntimeError), transaction.atomic():
        set_do_not_contact(contact=contact, source=FactSource.API)
        raise RuntimeError
    assert trail() == [] and Contact.objects.get(pk=contact.pk).do_not_call_at is None
