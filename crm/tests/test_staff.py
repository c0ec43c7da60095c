from __future__ import annotations

from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered


def test_staff_see_numbers_and_no_contact(visit, owner, alice, bob):
    with entered(alice):
        make_interaction(make_contact("Secret Sue"))
    owner.is_staff = owner.is_superuser = True
    owner.save()

    page = visit(owner, "public.test").get("/admin/contacts/")

    assert page.status_code == 200
    assert [(row.tenant.name, row.contacts, row.interactions) for row in page.context["rows"]] == [
        ("Alice's", 1, 1),
        ("Bob's", 0, 0),
    ]
    assert b"Secret Sue" not in page.content


def test_staff_only(visit, owner, alice):
    assert visit(owner, "public.test").get("/admin/contacts/").status_code == 302
    assert visit(owner).get("/admin/contacts/").status_code == 404
