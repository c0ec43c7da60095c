"""What people click: the pages of contacts and their settings."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from crm.models import Contact, CustomField
from crm.services.merging import merge_contacts
from crm.tests.factories import make_contact


def test_a_new_field_begins_without_options(in_alice, owner, visit):
    answer = visit(owner).get(reverse("crm:field-create"))
    page = answer.content.decode()

    assert answer.status_code == 200 and 'name="options"' in page
    assert not re.search(r"<textarea[^>]*name=\"options\"[^>]*>\s*\[\]", page)


def test_every_input_of_the_settings_has_a_name(in_alice, owner, visit):
    answer = visit(owner).get(reverse("crm:setup"))
    page = answer.content.decode()
    assert answer.status_code == 200 and page.count('name="statuses-') > 20
    labeled = set(re.findall(r'<label[^>]* for="([^"]+)"', page))

    for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", page):
        if 'type="hidden"' in tag or 'type="submit"' in tag:
            continue
        identity = re.search(r'id="([^"]+)"', tag)
        assert "aria-label" in tag or (identity and identity.group(1) in labeled), tag


def test_the_list_is_sorted_by_its_headings_and_saved_above(in_alice, owner, visit):
    make_contact("Ann")
    make_contact("Bert")
    page = visit(owner).get("/crm/contacts/?q=&sort=name").content.decode()

    assert 'aria-sort="ascending"' in page and "sort=-name" in page
    assert page.index("Name of this view") < page.index('id="rows"')
    assert page.index("Ann") < page.index("Bert")


def test_a_status_is_changed_on_the_contacts_page(in_alice, owner, visit):
    contact = make_contact()
    client = visit(owner)

    assert 'name="status"' in client.get(f"/crm/contacts/{contact.pk}/").content.decode()
    answer = client.post(f"/crm/contacts/{contact.pk}/status/", {"status": "customer", "from": "contact"})
    assert answer.headers["location"] == contact.get_absolute_url()
    assert Contact.objects.get().status == "customer"


def test_duplicates_have_a_page_of_their_own(in_alice, owner, visit):
    make_contact("José García")
    client = visit(owner)

    assert client.get("/crm/contacts/duplicates/").status_code == 200
    assert "José García" in client.get("/crm/contacts/duplicates/?contact_name=jose+garcia").content.decode()
    assert "No contact has this name" in client.get("/crm/contacts/duplicates/?contact_name=nobody").content.decode()


def test_an_extension_is_shown_and_dialed(in_alice, owner, visit):
    contact = make_contact(phones=[{"label": "", "number": "+15035550110", "extension": "12"}])
    page = visit(owner).get(f"/crm/contacts/{contact.pk}/").content.decode()

    assert 'href="tel:+15035550110;ext=12"' in page and "+15035550110 ext. 12" in page


@pytest.mark.parametrize("take", [{}, {"city": "kept"}])
def test_a_value_that_only_one_has_survives_a_merge(take, in_alice):
    CustomField.objects.create(key="size", label="Size", type="number")
    kept = make_contact("Ann", custom_fields={})
    merged = make_contact("Ann B", city="Bonn", contact_email="a@x.example", custom_fields={"size": 7}, notes="n")

    merge_contacts(kept=kept, merged=merged, take=take, by=None)

    kept.refresh_from_db()
    assert (kept.contact_name, kept.contact_email, kept.custom_fields) == ("Ann", "a@x.example", {"size": 7})
    assert kept.city == ("" if take else "Bonn")
    assert kept.email_index
