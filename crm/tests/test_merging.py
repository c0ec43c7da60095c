from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.models import Contact, MergeRecord
from crm.services.contacts import update_contact
from crm.services.merging import MergeError, choices, merge_contacts, undo_merge
from crm.tests.factories import make_contact, make_interaction


@pytest.fixture
def pair(in_alice):
    kept = make_contact("Ann", city="Ulm", tags=["a"], phone="+15550001", custom_fields={"x": 1})
    merged = make_contact(
        "Anne", city="Bonn", tags=["b"], phone="+15550002", notes="Tall", do_not_call=True, contact_role="Boss"
    )
    make_interaction(merged, "phone_call", subject="Rang")
    make_interaction(merged, "task", subject="Ring back")
    return kept, merged


def test_choices_are_what_differs(pair):
    assert [(choice.name, choice.kept, choice.merged, choice.suggested) for choice in choices(*pair)] == [
        ("contact_name", "Ann", "Anne", "kept"),
        ("contact_role", "", "Boss", "merged"),
        ("city", "Ulm", "Bonn", "kept"),
    ]


def test_nothing_of_either_is_lost(pair, owner):
    kept, merged = pair

    merge_contacts(kept=kept, merged=merged, take={"city": "merged", "contact_role": "merged"}, by=owner)

    kept.refresh_from_db()
    merged.refresh_from_db()
    assert (kept.contact_name, kept.city, kept.contact_role, kept.tags, kept.notes) == (
        "Ann",
        "Bonn",
        "Boss",
        ["a", "b"],
        "Tall",
    )
    assert [phone["number"] for phone in kept.phones] == ["+15550001", "+15550002"]
    assert kept.do_not_call_at == merged.do_not_call_at and kept.do_not_call_source == "person"
    assert (kept.interactions.count(), kept.open_task_count, kept.last_interaction_at is not None) == (2, 1, True)
    assert merged.merged_into == kept and merged.deleted_at is not None
    assert Contact.objects.with_phone("+15550002").live().get() == kept


def test_undo_parts_them_as_they_were(pair, owner):
    kept, merged = pair
    record = merge_contacts(kept=kept, merged=merged, take={"city": "merged"}, by=owner)

    assert undo_merge(record=record) == 0

    again = Contact.objects.get(pk=kept.pk)
    assert (again.city, again.tags, again.phones) == ("Ulm", ["a"], kept.phones)
    assert again.do_not_call_at is not None  # it may have been said again since
    other = Contact.objects.get(pk=merged.pk)
    assert (other.deleted_at, other.merged_into, other.interactions.count(), other.open_task_count) == (None, None, 2, 1)
    with pytest.raises(MergeError):
        undo_merge(record=record)


def test_undo_leaves_what_was_changed_since(pair, owner):
    kept, merged = pair
    record = merge_contacts(kept=kept, merged=merged, take={"city": "merged"}, by=owner)
    update_contact(contact=Contact.objects.get(pk=kept.pk), values={"city": "Trier"})
    make_interaction(Contact.objects.get(pk=kept.pk), subject="New")

    assert undo_merge(record=record) == 1

    again = Contact.objects.get(pk=kept.pk)
    assert (again.city, again.tags) == ("Trier", ["a"])
    assert [entry.subject for entry in again.interactions.all()] == ["New"]


def test_undo_ends_after_thirty_days(pair, owner):
    record = merge_contacts(kept=pair[0], merged=pair[1], take={}, by=owner)
    MergeRecord.objects.update(merged_at=timezone.now() - timedelta(days=31))

    with pytest.raises(MergeError):
        undo_merge(record=record)


def test_a_contact_is_not_merged_with_itself_nor_with_one_that_is_gone(pair, owner):
    kept, merged = pair
    with pytest.raises(MergeError):
        merge_contacts(kept=kept, merged=kept, take={}, by=owner)
    Contact.objects.filter(pk=merged.pk).update(deleted_at=timezone.now())
    with pytest.raises(MergeError):
        merge_contacts(kept=kept, merged=merged, take={}, by=owner)


def test_the_page_merges_and_undoes(pair, owner, member, stranger, visit):
    kept, merged = pair
    url = f"/crm/contacts/{kept.pk}/merge/{merged.pk}/"
    client = visit(owner)
    assert b"Bonn" in client.get(url).content
    assert visit(member).get(url).status_code == 403
    assert visit(stranger).post(url).status_code == 404

    client.post(url, {"take_city": "merged"})

    record = MergeRecord.objects.get()
    page = client.get(kept.get_absolute_url())
    assert b"Part from Anne" in page.content and b"Undo" in page.content
    assert b"was merged into" in client.get(merged.get_absolute_url()).content
    client.post(f"/crm/merges/{record.pk}/undo/")
    assert Contact.objects.live().count() == 2


def test_merges_are_undone_in_the_reverse_order(in_alice, owner):
    a, b, c = make_contact("A"), make_contact("B"), make_contact("C")
    make_interaction(b, subject="B's")
    first = merge_contacts(kept=a, merged=b, take={}, by=owner)
    second = merge_contacts(kept=c, merged=a, take={}, by=owner)

    with pytest.raises(MergeError, match="part those two first"):
        undo_merge(record=first)
    undo_merge(record=second)
    undo_merge(record=MergeRecord.objects.get(pk=first.pk))

    assert [entry.subject for entry in b.interactions.all()] == ["B's"]


def test_an_owner_is_kept_or_taken(in_alice, owner, admin):
    kept, merged = make_contact("A", owner=owner), make_contact("B", owner=admin)
    assert [choice.name for choice in choices(kept, merged)] == ["contact_name", "owner"]
    merge_contacts(kept=kept, merged=merged, take={"owner": "merged"}, by=owner)
    kept.refresh_from_db()
    assert kept.owner == admin

    nobodys, theirs = make_contact("C"), make_contact("D", owner=admin)
    merge_contacts(kept=nobodys, merged=theirs, take={}, by=owner)
    nobodys.refresh_from_db()
    assert nobodys.owner == admin
