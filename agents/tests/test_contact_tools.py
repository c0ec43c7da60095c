from __future__ import annotations

import json

import pytest
from redis.exceptions import RedisError

from agents import proving
from agents.tools import ToolContext, ToolError, run_tool, tools_named
from crm.models import Contact, Interaction
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered

CALLER = "+15557001"


def use(tenant, tool: str, number: str = CALLER, call_id: str = "c1", verified: bool = True, **arguments):
    """Run a tool as a conversation does: from a coroutine that is inside no tenant."""
    from asgiref.sync import async_to_sync

    context = ToolContext(call_id, tenant.schema_name, "", number, caller_verified=verified)
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
    with pytest.raises(ToolError, match="belongs to somebody"):
        use(alice, "save_contact_details", number="anonymous", phone=CALLER, contact_name="Thief")
    use(alice, "save_contact_details", number="anonymous", phone="+15550009999", contact_name="Shy Caller")
    assert Contact.objects.with_phone("+15550009999").get().name == "Shy Caller"


@pytest.mark.parametrize("number", ["", "anonymous", "alice@pbx.example", "client:alice"])
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("take_message", {"message": "Please ring me about Friday", "phone": "+1 555 700 1", "name": "Thea"}),
        ("take_message", {"message": "Please ring me about Friday"}),
        ("add_note", {"text": "Please ring me about Friday"}),
        ("create_task", {"subject": "Please ring me about Friday", "due_on": "2026-12-01"}),
    ],
)
def test_what_a_caller_without_a_number_leaves_reaches_everybody(number, tool, arguments, ann, alice, bob):
    for _ in range(2):
        assert use(alice, tool, number=number, **arguments) == {"ok": True, "is_for_everybody": True}

    task = Interaction.objects.get()
    assert (task.contact_id, task.kind) == (None, "task")
    assert "Please ring me about Friday" in task.content
    assert Contact.objects.count() == 1
    with entered(bob):
        assert not Interaction.objects.exists()


# --- whose number it is ---------------------------------------------------------------------------------------------


def ask(alice, proof: str = "", call_id: str = "c1", tool: str = "look_up_contact"):
    return use(alice, tool, call_id=call_id, verified=False, **({"proof": proof} if proof else {}))


@pytest.fixture
def known(ann) -> Contact:
    Contact.objects.filter(pk=ann.pk).update(contact_email="ann@example.com", postal_code="SW1A 1AA", city="London")
    return ann


def test_a_number_alone_tells_no_details(known, alice):
    make_interaction(known, "meeting", subject="Coffee")

    told = [ask(alice), use(alice, "look_up_contact", verified=False, name="Ann"), ask(alice, tool="get_billing_status")]

    assert all(one["needs_proof"] and "postal code" in one["say"] for one in told)
    assert not any(secret in str(told) for secret in ("ann@example.com", "London", "Coffee", "SW1A"))


@pytest.mark.parametrize("proof", ["sw1a1aa", "S W 1 A 1 A A", "ann@example.com", "ANN@Example.com."])
def test_a_second_fact_opens_them_for_the_rest_of_the_call(proof, known, alice):
    assert ask(alice, proof)["caller"]["city"] == "London"
    assert ask(alice)["caller"]["city"] == "London"
    assert "needs_proof" not in ask(alice, tool="get_billing_status")
    assert ask(alice, call_id="c2")["needs_proof"]


def test_guesses_are_few_in_a_call_and_in_a_day(known, alice):
    for guess in ("1000", "1001", "1002"):
        assert ask(alice, guess)["needs_proof"]
    assert ask(alice, "SW1A 1AA")["needs_proof"]
    for number in range(2, 4):
        for guess in ("1003", "1004", "1005"):
            ask(alice, guess, call_id=f"c{number}")
    assert ask(alice, "SW1A 1AA", call_id="c9")["needs_proof"]


def test_where_nothing_is_on_file_nothing_can_be_proved(ann, alice):
    told = ask(alice, "anything")

    assert (told["needs_proof"], told["caller"]) == (False, {"is_known": True})
    assert "take a message" in told["say"]


def test_without_redis_nothing_is_proved(known, alice, monkeypatch):
    def away():
        raise RedisError

    monkeypatch.setattr(proving, "sync_client", away)

    assert ask(alice, "SW1A 1AA")["needs_proof"]
