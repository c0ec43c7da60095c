"""A person is forgotten in every room at once, and what has to stay says nothing of them."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone

from crm import erasing
from crm.erasing import Person
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.models import Attachment, Contact, ContactChange, ContactJob, Interaction, MergeRecord
from crm.services.attachments import add_attachment
from crm.services.calls import contact_for_caller
from crm.services.contacts import create_contact, restore_contact, update_contact
from crm.services.erasing import erase_person, reach_of
from crm.services.interactions import add_interaction, leave_message
from crm.services.merging import merge_contacts
from crm.services.purging import empty_bin
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered
from tenants.models import AuditEvent

NUMBER, ADDRESS = "+15557650777", "zelda@quine.example"
VALUES = {
    "contact_name": "Zelda Quine",
    "business_name": "Quine Ltd",
    "phones": [{"label": "mobile", "number": NUMBER}],
    "contact_email": ADDRESS,
    "address": "12 Elm St",
    "notes": "likes tea",
    "tags": ["vip"],
    "custom_fields": {},
}


@pytest.fixture
def zelda(in_alice, bob, owner):
    with entered(bob):
        create_contact(values=VALUES, by=None)
    everything = ["contact.created", "contact.changed", "contact.deleted", "contact.merged", "interaction.added"]
    WebhookEndpoint.objects.create(url="https://x.example", events=everything, secret="s")
    contact = create_contact(values=VALUES, by=owner)
    other = create_contact(values={**VALUES, "contact_name": "Z. Quine", "contact_email": "z@quine.example"}, by=owner)
    merge_contacts(kept=contact, merged=other, take={}, by=owner)
    entry = add_interaction(contact=contact, kind="note", content="Zelda was here")
    add_attachment(interaction=entry, upload=SimpleUploadedFile("zelda.txt", b"Zelda's file"), by=owner)
    leave_message("Call Zelda back", number=NUMBER, name="Zelda")
    job = ContactJob.objects.create(kind="set-status")
    ContactChange.objects.create(job=job, contact_id=contact.pk, before={"notes": "Zelda"}, version=1)
    make_interaction(make_contact("Somebody Else"), content="stays")
    contact.refresh_from_db()
    return contact


def test_nothing_of_the_person_is_left_in_crm(zelda, owner, bob):
    counts = erase_person(contact=zelda, by=owner)

    assert counts["contacts"] == 2 and counts["timeline entries and tasks"] == 2 and counts["attached files"] == 1
    assert counts["snapshots"] == 2 and counts["webhook deliveries"] >= 4
    assert list(Interaction.objects.values_list("contact__contact_name", flat=True)) == ["Somebody Else"]
    assert not Attachment.objects.exists() and not ContactChange.objects.exists() and not MergeRecord.objects.exists()
    for row in Contact.objects.filter(erased_at__isnull=False):
        assert (row.contact_name, row.contact_email, row.phones, row.address, row.notes, row.tags) == (
            "Erased contact",
            "",
            [],
            "",
            "",
            [],
        )
        assert (row.phone_indexes, row.email_index, row.email_parts, row.address_parts) == ([], "", [], [])
    told = set(WebhookDelivery.objects.filter(event="contact.deleted").values_list("key", flat=True))
    assert f"contact:{zelda.pk}:erased" in told
    assert not any("Zelda" in str(delivery.payload) for delivery in WebhookDelivery.objects.all())
    with entered(bob):
        assert Contact.objects.get().contact_name == "Zelda Quine"


def test_no_column_of_any_table_of_the_organization_holds_the_name(zelda, owner, in_alice):
    erase_person(contact=zelda, by=owner)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
            " AND table_name LIKE 'crm%%' AND data_type IN ('text', 'character varying', 'jsonb', 'ARRAY', 'tsvector')",
            [in_alice.schema_name],
        )
        for table, column in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE "{column}"::text ~* %s', ["zelda|quine|likes tea|vip"])
            assert (table, column, cursor.fetchone()[0]) == (table, column, 0) or (table, column) == ("crm_tag", "name")


def test_one_entry_of_the_trail_tells_that_somebody_was_erased_and_not_who(zelda, owner):
    AuditEvent.objects.all().delete()

    erase_person(contact=zelda, by=owner)

    [event] = AuditEvent.objects.all()
    assert event.actor == owner and "erased for good" in event.target and str(zelda.pk) in event.target
    assert "Zelda" not in event.target and NUMBER not in event.target


def test_erasing_again_changes_nothing(zelda, owner):
    assert erase_person(contact=zelda, by=owner)
    events = AuditEvent.objects.count()

    assert erase_person(contact=zelda, by=owner) == {}
    assert AuditEvent.objects.count() == events


def test_a_wish_outlives_the_person_and_the_bin(zelda, owner):
    update_contact(contact=zelda, values={"do_not_call": True})

    erase_person(contact=zelda, by=owner)
    Contact.objects.filter(erased_at__isnull=False).update(deleted_at=timezone.now() - timezone.timedelta(days=40))
    empty_bin()

    kept = Contact.objects.get(pk=zelda.pk)
    assert kept.phones == [] and len(kept.phone_indexes) == 1
    assert not restore_contact(contact=kept)
    again = contact_for_caller(number=NUMBER, create=True)
    assert again.pk != zelda.pk and again.do_not_call_at and again.contact_name == "Unknown caller"


def test_without_a_wish_the_row_goes_with_the_bin(zelda, owner):
    erase_person(contact=zelda, by=owner)
    Contact.objects.filter(erased_at__isnull=False).update(deleted_at=timezone.now() - timezone.timedelta(days=40))
    empty_bin()

    assert not Contact.objects.filter(pk=zelda.pk).exists()


def test_what_others_use_too_is_left_alone(zelda, owner):
    make_contact("Colleague", phone=NUMBER)

    reach = reach_of(contact=zelda)

    assert reach.shared == (NUMBER,) and reach.person.numbers == ()
    assert set(reach.person.addresses) == {ADDRESS, "z@quine.example"}
    erase_person(contact=zelda, by=owner)
    assert Contact.objects.get(contact_name="Colleague").phone == NUMBER
    assert Interaction.objects.filter(contact=None).count() == 1


def test_by_a_number_or_an_address_everybody_who_has_it_goes(zelda, owner):
    colleague = make_contact("Colleague", phone=NUMBER)

    assert colleague.pk in reach_of(number=NUMBER).person.contact_ids
    assert erase_person(address=ADDRESS.upper(), by=owner)["contacts"] == 1
    assert erase_person(number=NUMBER, by=owner)["contacts"] == 2
    assert erase_person(number="+15550001111", by=owner) == {}


def test_every_room_is_asked_and_one_that_fails_leaves_everything(zelda, owner, monkeypatch):
    asked: list[Person] = []

    def eraser(person: Person) -> dict[str, int]:
        asked.append(person)
        return {"things": 3}

    monkeypatch.setattr(erasing, "_erasers", {"other": eraser})
    assert erase_person(contact=zelda, by=owner)["things"] == 3
    assert zelda.pk in asked[0].contact_ids and NUMBER in asked[0].numbers and ADDRESS in asked[0].addresses

    def failing(person: Person) -> dict[str, int]:
        raise RuntimeError("no")

    monkeypatch.setattr(erasing, "_erasers", {"other": failing})
    other = make_contact("Other")
    with pytest.raises(RuntimeError):
        erase_person(contact=other, by=owner)
    other.refresh_from_db()
    assert other.contact_name == "Other" and other.erased_at is None


def test_the_page_says_what_goes_and_asks_first(zelda, owner, member, stranger, visit):
    address = f"/crm/contacts/{zelda.pk}/erase/"
    client = visit(owner)

    page = client.get(address).content.decode()
    assert "What goes" in page and "What stays" in page and NUMBER in page
    assert client.post(address).status_code == 422
    assert Contact.objects.get(pk=zelda.pk).erased_at is None
    assert visit(member).post(address, {"confirmed": "yes"}).status_code == 403
    assert visit(stranger).post(address, {"confirmed": "yes"}).status_code == 404
    assert client.post(address, {"confirmed": "yes"}).headers["location"] == "/crm/contacts/"
    assert client.get(address).status_code == client.get(f"/crm/contacts/{zelda.pk}/").status_code == 404
    assert "Erased contact" not in client.get("/crm/contacts/bin/").content.decode()


def test_the_api_erases_for_those_who_may(zelda, owner, member, visit):
    address = f"/api/v1/contacts/{zelda.pk}/erase/"

    assert visit(member).post(address).status_code == 403
    answer = visit(owner).post(address)
    assert answer.status_code == 200 and answer.json()["erased"]["contacts"] == 2
    assert visit(owner).post(address).json() == {"erased": {}}
    assert visit(owner).post("/api/v1/contacts/999999/erase/").status_code == 404
