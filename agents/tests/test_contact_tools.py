from __future__ import annotations

import json

import pytest

from agents.tools import ToolContext, ToolError, run_tool, tools_named
from crm.models import Contact, Interaction
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered

CALLER = "+15557001"


def use(tenant, tool: str, number: str = CALLER, call_id: str = "c1", **arguments):
    """Run a tool as a conversation does: from a coroutine that is inside no tenant."""
    from asgiref.sync import async_to_sync

    context = ToolContext(call_id, tenant.schema_name, "", number)
    return async_to_sync(run_tool)(tools_named([tool])[tool], context, json.dumps(arguments)).content


pytestmark = pytest.mark.usefixtures("one_connection")


@pytest.fixture
def ann(in_alice, bob) -> Contact:
    with entered(bob):
        make_contact("Bob's Ann", phone=CALLER, contact_email="secret@bob.test")
    return make_contact("Ann", phone=CALLER, business_name="Ann & Co")


def test_look_up_tells_of_the_caller_and_hardly_of_others(ann, alice):
    make_interaction(ann, "meeting", subject="Coffee")
    make_contact("Cy Other", contact_email="cy@example.com", phone="+15559999999")

    caller = use(alice, "look_up_contact")
    other = use(alice, "look_up_contact", name="cy other")

    assert caller["caller"]["name"] == "Ann"
    assert "Coffee" in caller["caller"]["recent"][0]
    assert other == {"ok": True, "is_known": True, "is_the_caller": False}
    for guess in ("cy", "cy@example.com", "+15559999999"):
        assert use(alice, "look_up_contact", name=guess)["is_known"] is False
    assert "secret@bob.test" not in str(caller)


def test_details_fill_in_what_is_not_known_and_question_the_rest(ann, alice):
    outcome = use(alice, "save_contact_details", contact_name="Anna", contact_email="ann@example.com")

    ann.refresh_from_db()
    assert outcome == {"ok": True, "saved": ["contact_email"], "noted_for_a_person_to_check": ["contact_name"]}
    assert (ann.contact_name, ann.contact_email) == ("Ann", "ann@example.com")
    note = Interaction.objects.get()
    assert (note.kind, note.content) == ("note", "Name: Anna (known: Ann)")


def test_an_unknown_caller_gets_a_name(in_alice, alice):
    use(alice, "save_contact_details", contact_name="Nia New")
    use(alice, "save_contact_details", contact_name="Nia New")

    contact = Contact.objects.get()
    assert (contact.contact_name, contact.phone, contact.source) == ("Nia New", CALLER, "phone call")


def test_what_was_said_wrong_is_explained_to_the_agent(ann, alice):
    with pytest.raises(ToolError, match="not an e-mail address"):
        use(alice, "save_contact_details", contact_email="ann at nowhere")
    with pytest.raises(ToolError, match="due_on must be a day"):
        use(alice, "create_task", subject="Ring", due_on="soon")
    with pytest.raises(ToolError, match="do not fit"):
        use(alice, "add_note")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("add_note", {"text": "Likes tea"}), ("create_task", {"subject": "Ring back", "due_on": "2026-12-01"})],
)
def test_the_same_request_twice_in_a_call_is_one_entry(tool, arguments, ann, alice):
    use(alice, tool, **arguments)
    use(alice, tool, **arguments)
    assert Interaction.objects.count() == 1
    use(alice, tool, call_id="c2", **arguments)
    assert Interaction.objects.count() == 2


def test_a_wish_becomes_a_fact_for_every_channel_and_is_confirmed(ann, alice, bob):
    outcome = use(alice, "set_do_not_contact")

    ann.refresh_from_db()
    assert ann.do_not_call_at and ann.do_not_mail_at and ann.do_not_call_source == "call"
    assert outcome["say"].startswith("I have noted")
    with entered(bob):
        assert Contact.objects.get().do_not_call_at is None


def test_a_withheld_number_cannot_change_somebody_known(ann, alice):
    with pytest.raises(ToolError, match="withheld"):
        use(alice, "add_note", number="anonymous", text="x")
    with pytest.raises(ToolError, match="belongs to somebody"):
        use(alice, "save_contact_details", number="anonymous", phone=CALLER, contact_name="Thief")
    use(alice, "save_contact_details", number="anonymous", phone="+15550009999", contact_name="Shy Caller")
    assert Contact.objects.with_phone("+15550009999").get().name == "Shy Caller"
