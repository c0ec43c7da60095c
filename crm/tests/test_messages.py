"""Tasks that belong to no contact: messages of callers who cannot be named, and what people note for themselves."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from crm.models import CrmSettings, Interaction
from crm.selectors.timeline import task_counts, tasks
from crm.services.calls import caller_context, contact_for_caller, contact_of
from crm.services.interactions import add_interaction, delete_interaction, leave_message, set_task_done
from crm.services.reminders import send_reminders
from crm.tests.factories import make_contact
from crm.views.today import today_of
from tenants.context import entered


def test_a_message_of_nobody_is_a_task_everybody_sees(in_alice, bob, owner, member, visit):
    task = leave_message("Please call me back\u0000 about the invoice.", number="+15557650777", name="Jose\u0301")

    assert (task.subject, task.content) == ("Message from José, +15557650777", "Please call me back about the invoice.")
    for person in (owner, member):
        assert list(tasks(chosen="due", user=person, today=today_of(in_alice))) == [task]
        assert task_counts(user=person, today=today_of(in_alice)).today == 1
    page = visit(owner).get("/crm/tasks/").content.decode()
    assert "Message from José" in page and "about the invoice" in page and 'href="tel:+15557650777"' in page
    with entered(bob):
        assert not Interaction.objects.exists()
    assert "about the invoice" not in visit(None, "bob.test").get("/crm/tasks/").content.decode()


def test_a_message_without_any_name_is_from_an_unknown_caller_and_comes_once(in_alice):
    CrmSettings.objects.update(message_subject="Nachricht von {caller}", new_lead_name="Unbekannt")

    first = leave_message("Hello", natural_key="tool:1")

    assert first.subject == "Nachricht von Unbekannt"
    assert leave_message("Hello", natural_key="tool:1") == first


def test_only_tasks_go_without_a_contact(in_alice):
    with pytest.raises(IntegrityError), transaction.atomic():
        add_interaction(contact=None, kind="note", content="x")


def test_a_task_without_a_contact_is_done_changed_and_deleted_on_its_page(in_alice, owner, visit):
    task, client = leave_message("Hello"), visit(owner)
    address = f"/crm/interactions/{task.pk}/"

    assert client.get(address).status_code == 200
    values = {"kind": "follow_up", "subject": "Ring", "content": "them", "user": str(owner.pk)}
    assert client.post(address, values).status_code == 302
    task.refresh_from_db()
    assert (task.kind, task.subject, task.user_id, task.contact_id) == ("follow_up", "Ring", owner.pk, None)
    assert client.post(address, {**values, "kind": "note"}).status_code == 422
    assert client.post(f"{address}done/", {"from": "tasks"}).headers["location"] == "/crm/tasks/"
    assert client.get("/crm/activity/").status_code == client.get("/crm/").status_code == 200
    assert client.post(f"{address}delete/").headers["location"] == "/crm/tasks/"
    assert not Interaction.objects.exists()


def test_a_new_task_is_made_on_the_list(in_alice, owner, visit):
    client, contact = visit(owner), make_contact()
    values = {"kind": "task", "subject": "Order paper", "user": str(owner.pk)}

    assert "New task" in client.get("/crm/tasks/").content.decode()
    assert client.get("/crm/tasks/new/").status_code == 200
    assert client.post("/crm/tasks/new/", {**values, "subject": ""}).status_code == 422
    client.post("/crm/tasks/new/", values)
    client.post(f"/crm/tasks/new/?contact={contact.pk}", values)

    assert list(Interaction.objects.order_by("pk").values_list("subject", "contact", "user")) == [
        ("Order paper", None, owner.pk),
        ("Order paper", contact.pk, owner.pk),
    ]
    assert client.get("/crm/tasks/new/?contact=0x1").status_code == 404


def test_the_api_makes_tasks_without_a_contact_and_finds_them_one(in_alice, owner, visit):
    client = visit(owner)
    made = client.post("/api/v1/interactions/", {"kind": "task", "subject": "x"}, content_type="application/json")
    assert made.status_code == 201 and made.json()["contact"] is None
    note = client.post("/api/v1/interactions/", {"kind": "note", "content": "x"}, content_type="application/json")
    assert note.status_code == 400 and "contact" in note.json()

    contact, address = make_contact(), f"/api/v1/interactions/{made.json()['id']}/"
    client.patch(address, {"contact": contact.pk}, content_type="application/json")
    contact.refresh_from_db()
    assert contact.open_task_count == 1 and Interaction.objects.get().contact == contact
    assert client.patch(address, {"contact": None}, content_type="application/json").status_code == 400
    assert [row["contact"] for row in client.get("/api/v1/tasks/").json()["results"]] == [contact.pk]


def test_a_reminder_of_a_task_without_a_contact_is_sent(in_alice, owner, mailoutbox):
    from django.utils import timezone

    add_interaction(contact=None, kind="task", subject="Order paper", by=owner, remind_at=timezone.now())

    assert send_reminders(tenant=in_alice) == 1
    assert "Order paper" in mailoutbox[0].body


def test_ticking_off_and_deleting_touch_no_contact(in_alice):
    task = leave_message("Hello")

    assert set_task_done(interaction=task, done=True)
    delete_interaction(interaction=task)
    assert not Interaction.objects.exists()


@pytest.mark.parametrize(
    ("stored", "calling"),
    [("+5491123456789", "+541123456789"), ("+525512345678", "+5215512345678"), ("+5511987654321", "+551187654321")],
)
def test_a_caller_is_known_by_both_spellings_of_a_mobile_number(stored, calling, in_alice):
    contact = make_contact(phone=stored)

    assert contact_of(calling) == contact
    assert contact_for_caller(number=calling, create=True) == contact


@pytest.mark.parametrize("number", ["+anonymous", "+0", "+1", "sip:x@y", "+1 (555) 765-4399", ""])
def test_what_is_no_number_becomes_no_lead(number, in_alice):
    assert contact_for_caller(number=number, create=True) is None


def test_what_the_agent_is_told_of_a_wish_is_the_organizations_text(in_alice):
    contact = make_contact(do_not_call=True)
    CrmSettings.objects.update(no_contact_context="Sie wollen keine Anrufe.")

    assert caller_context(contact).endswith(" Sie wollen keine Anrufe.")
    assert "keine Anrufe" not in caller_context(make_contact("Other"))
