from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from crm.enums import InteractionKind
from crm.hooks.models import WebhookDelivery
from crm.imports.errors import ImportStateError
from crm.imports.models import BadRow, ContactImport
from crm.imports.services import claiming, undoing
from crm.imports.services.sweeping import forget_expired, resume_silent
from crm.imports.services.undoing import start_undo, undo_import
from crm.imports.tests.factories import carry_out, check, make_contact, make_import, people, undo, upload
from crm.models import Contact, ContactChange
from crm.services.contacts import update_contact
from crm.services.interactions import add_interaction
from tenants.models import AuditEvent, Tenant


def snapshot() -> list[Any]:
    left_out = {"version", "updated_at", "scored_at"}
    contacts = Contact.objects.live().order_by("id")
    return [{name: value for name, value in row.items() if name not in left_out} for row in contacts.values()]


def test_undo_leaves_everything_as_it_was(in_alice: Tenant) -> None:
    make_contact(contact_name="P. 1", contact_email="person1@example.com", phone="+15559", tags=["x"], value="5.50")
    make_contact(contact_name="Other", address="Street 1", do_not_mail=True)
    before = snapshot()
    record = carry_out(make_import(people(5)), "update", tags=["new"])
    assert snapshot() != before

    record = undo(record)

    assert (record.state, record.undone, record.kept, record.progress) == ("undone", 5, 0, 1)
    assert snapshot() == before
    assert list(Contact.objects.with_email("person1@example.com").live().values_list("contact_name", flat=True)) == ["P. 1"]
    assert not ContactChange.objects.exists()
    assert AuditEvent.objects.filter(action="import-undone", tenant=in_alice).count() == 1


def test_what_somebody_touched_since_is_left(in_alice: Tenant) -> None:
    old = make_contact(contact_name="Person 1", contact_email="person1@example.com")
    carry = carry_out(make_import(people(4)), "update")
    edited = Contact.objects.get(contact_name="Person 2")
    update_contact(contact=edited, values={"city": "Rome"})
    called = Contact.objects.get(contact_name="Person 3")
    add_interaction(contact=called, kind=InteractionKind.NOTE, content="hello")
    old.refresh_from_db()
    update_contact(contact=old, values={"city": "Oslo"})

    record = undo(carry)

    assert (record.undone, record.kept) == (1, 3)
    assert list(Contact.objects.live().order_by("id").values_list("contact_name", "city")) == [
        ("Person 1", "Oslo"),
        ("Person 2", "Rome"),
        ("Person 3", "Berlin"),
    ]


def test_a_contact_that_two_rows_changed_becomes_as_before_both(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm.imports.services.running.ROWS", 1)
    make_contact(contact_name="Ann", contact_email="a@example.com", city="Bonn")
    make_contact(contact_name="New", contact_email="n@example.com")
    before = snapshot()
    rows = (
        b"Name,E-mail,City,Role\nAnn,a@example.com,Rome,\nAnn,a@example.com,Oslo,boss\nBen,b@x.io,A,\nBen,b@x.io,B,boss\n"
    )

    record = carry_out(upload(rows), "update")
    assert Contact.objects.get(contact_name="Ben").city == "B"
    record = undo(record)

    assert snapshot() == before and record.kept == 0


def test_an_edit_between_two_rows_of_one_contact_is_not_undone(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    from crm.imports.services import running
    from crm.imports.services.running import run_import, start_import

    monkeypatch.setattr(running, "ROWS", 1)
    contact = make_contact(contact_name="Ann", contact_email="a@example.com", city="Bonn")
    record = check(upload(b"Name,E-mail,City,Role\nAnn,a@example.com,Rome,\nAnn,a@example.com,,boss\n"))
    start_import(record=record, on_duplicate="update")
    run_import(import_id=record.pk, slice_s=-1)
    contact.refresh_from_db()
    update_contact(contact=contact, values={"city": "Oslo"})
    run_import(import_id=record.pk)
    record.refresh_from_db()

    record = undo(record)

    contact.refresh_from_db()
    assert (record.kept, contact.city, contact.contact_role) == (1, "Oslo", "boss")


class Killed(BaseException):
    pass


def test_a_killed_undo_goes_on(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undoing, "STEP", 2)
    for n in (1, 2, 3):
        make_contact(contact_name=f"Person {n}", contact_email=f"person{n}@example.com")
    before = snapshot()
    record = carry_out(make_import(people(8)), "update")
    start_undo(record=record)
    advance, calls = claiming.advance, []

    def killed(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) in (2, 5):
            raise Killed
        advance(*args, **kwargs)

    monkeypatch.setattr(undoing, "advance", killed)
    for _ in range(3):
        ContactImport.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
        resume_silent()
        try:
            undo_import(import_id=record.pk)
        except Killed:
            continue

    record.refresh_from_db()
    assert (record.state, record.undone, record.kept) == ("undone", 8, 0)
    assert snapshot() == before


def test_undo_happens_once_and_again_does_no_harm(in_alice: Tenant) -> None:
    record = undo(carry_out(make_import(people(2))))

    undo_import(import_id=record.pk)
    with pytest.raises(ImportStateError):
        start_undo(record=record)
    record.refresh_from_db()
    assert (record.state, record.undone) == ("undone", 2)


def test_a_cancelled_import_can_be_undone(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    from crm.imports.services import running
    from crm.imports.tests.factories import start

    monkeypatch.setattr(running, "ROWS", 2)
    record = start(make_import(people(5)))
    running.run_import(import_id=record.pk, slice_s=-1)
    running.cancel_import(record=record)

    assert undo(record).undone == 2 and not Contact.objects.live().exists()


def test_after_thirty_days_only_the_counts_are_kept(in_alice: Tenant) -> None:
    make_contact(contact_name="Person 1", contact_email="person1@example.com")
    record = carry_out(make_import([*people(2), ("", "", "", "", "x")]), "update")
    path = record.path

    assert forget_expired() == 0
    assert forget_expired(now=timezone.now() + timedelta(days=31)) == 1

    record.refresh_from_db()
    assert (record.path, record.created, record.updated, record.bad) == ("", 1, 1, 1)
    assert not default_storage.exists(path)
    assert not BadRow.objects.exists() and not ContactChange.objects.exists()
    ContactImport.objects.update(finished_at=timezone.now() - timedelta(days=31))
    record.refresh_from_db()
    with pytest.raises(ImportStateError, match="too long ago"):
        start_undo(record=record)


def test_other_programs_are_told_once_that_it_is_over(in_alice: Tenant) -> None:
    from crm.hooks.models import WebhookEndpoint

    values = {"url": "https://example.com/hook", "events": ["import.finished", "contact.created"]}
    WebhookEndpoint.objects.create(**values)

    record = carry_out(make_import(people(3)))

    delivery = WebhookDelivery.objects.get()
    assert (delivery.event, delivery.payload["created"], delivery.payload["id"]) == ("import.finished", 3, record.pk)
    undo(record)
    assert WebhookDelivery.objects.count() == 2
