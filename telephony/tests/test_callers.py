from __future__ import annotations

from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.models import Contact, Interaction
from crm.services.merging import merge_contacts, undo_merge
from crm.tests.factories import make_contact, make_interaction
from telephony.enums import Direction, SummaryStatus
from telephony.models import Call
from telephony.services.callers import log_call, recognise_caller, unlogged_calls
from telephony.services.plans import plan_call
from telephony.tests.factories import make_call, make_finished_call
from tenants.context import entered


def test_a_known_caller_is_on_the_timeline_once(line, bob):
    with entered(bob):
        make_contact("Bob's", phone="+15557001")
    ann = make_contact("Ann", phone="+15557001")
    call = make_finished_call(line)

    log_call(call_id=str(call.pk))
    log_call(call_id=str(call.pk))

    entry = Interaction.objects.get()
    assert (entry.contact, entry.kind, entry.metadata["answered"]) == (ann, "phone_call", True)
    assert entry.metadata["url"] == call.get_absolute_url()
    ann.refresh_from_db()
    assert ann.last_interaction_at == entry.interaction_date
    call.refresh_from_db()
    assert call.contact == ann and call.logged_at is not None
    with entered(bob):
        assert not Interaction.objects.exists()


def test_an_unknown_caller_becomes_a_lead_where_the_line_says_so(line):
    log_call(call_id=str(make_finished_call(line, from_number="+15550001").pk))
    log_call(call_id=str(make_finished_call(line, from_number="+15550001").pk))
    lead = Contact.objects.get()
    assert (lead.status, lead.source, lead.phone, lead.interactions.count()) == ("lead", "phone call", "+15550001", 2)

    line.creates_leads = False
    line.save()
    log_call(call_id=str(make_finished_call(line, from_number="+15550002").pk))
    log_call(call_id=str(make_finished_call(line, from_number="anonymous").pk))
    assert Contact.objects.count() == 1


def test_the_summary_is_filled_in_when_it_comes(line):
    call = make_finished_call(line)
    log_call(call_id=str(call.pk))
    Call.objects.filter(pk=call.pk).update(summary="They want a haircut.", summary_status=SummaryStatus.DONE)

    log_call(call_id=str(call.pk))

    assert [entry.content for entry in Interaction.objects.all()] == ["They want a haircut."]


def test_open_and_browser_calls_are_not_logged(line):
    for call in (make_call(line), make_finished_call(line, direction=Direction.BROWSER)):
        log_call(call_id=str(call.pk))
    assert not Contact.objects.exists() and unlogged_calls() == []


def test_lost_entries_are_found(line):
    from datetime import timedelta

    from django.utils import timezone

    old = make_finished_call(line, ended_at=timezone.now() - timedelta(minutes=1))
    make_finished_call(line)
    assert unlogged_calls() == [str(old.pk)]
    log_call(call_id=str(old.pk))
    assert unlogged_calls() == []


def test_the_agent_is_told_what_is_known_before_it_greets(line, alice):
    ann = make_contact("Ann", phone="+15557001", business_name="Ann & Co")
    make_interaction(ann, "meeting", subject="Wants {agent_name} red paint")
    make_interaction(ann, "task", subject="Send the offer")
    call = make_call(line)

    plan = plan_call(call=call, tenant=alice)

    assert "Name: Ann. Business: Ann & Co. Status: Lead." in plan.engine.prompt
    assert "Wants (agent_name) red paint" in plan.engine.prompt and "Send the offer" in plan.engine.prompt
    call.refresh_from_db()
    assert call.contact == ann
    assert recognise_caller(call=make_call(line, from_number="+15559")) == ""


def test_who_wants_to_know_hears_of_the_end_once(line):
    WebhookEndpoint.objects.create(url="https://example.com/", events=["call.finished"])
    call = make_finished_call(line)

    log_call(call_id=str(call.pk))
    log_call(call_id=str(call.pk))

    delivery = WebhookDelivery.objects.get()
    assert (delivery.event, delivery.payload["call_sid"]) == ("call.finished", call.call_sid)


def test_calls_follow_a_merge_and_its_undo(line, owner):
    kept, merged = make_contact("Ann", phone="+15557001"), make_contact("Anne", phone="+15557002")
    call = make_finished_call(line, from_number="+15557002")
    log_call(call_id=str(call.pk))

    record = merge_contacts(kept=kept, merged=merged, take={}, by=owner)
    call.refresh_from_db()
    assert call.contact == kept and kept.interactions.count() == 1
    undo_merge(record=record)

    call.refresh_from_db()
    assert call.contact == merged and merged.interactions.count() == 1


def test_withheld_numbers_are_nobody(line, alice):
    from telephony.services.answering import IncomingCall

    form = {"CallSid": "CA1", "To": "+15550100"}
    for number in ("+266696687", "anonymous", "Restricted"):
        assert IncomingCall.from_form({**form, "From": number}).from_number == "anonymous"
    assert IncomingCall.from_form({**form, "From": "+15557001"}).from_number == "+15557001"


def test_of_two_contacts_with_a_number_the_one_in_touch_is_known(line):
    from crm.services.calls import contact_of
    from crm.services.interactions import add_interaction

    make_contact("Never", phone="+15557001")
    touched = make_contact("Often", phone="+15557001")
    add_interaction(contact=touched, kind="meeting")

    assert contact_of("+15557001") == touched


def test_a_wish_outlives_the_contact(line):
    from django.utils import timezone

    make_contact("Gone", phone="+15550009", do_not_call=True, deleted_at=timezone.now())

    log_call(call_id=str(make_finished_call(line, from_number="+15550009").pk))

    lead = Contact.objects.live().get()
    assert lead.do_not_call_at is not None and lead.do_not_mail_at is None


def test_a_persons_correction_of_an_entry_stays(line):
    call = make_finished_call(line, summary="What the model wrote.")
    log_call(call_id=str(call.pk))
    Interaction.objects.update(content="What a person wrote.")

    log_call(call_id=str(call.pk))

    assert Interaction.objects.get().content == "What a person wrote."


def test_a_call_is_answered_though_its_contact_cannot_be_read(line, alice, caplog):
    from crm.models import CrmSettings
    from telephony.services.callers import announce_call

    make_contact("Ann", phone="+15557001")
    CrmSettings.objects.all().delete()
    call = make_call(line)

    plan = plan_call(call=call, tenant=alice)
    WebhookEndpoint.objects.create(url="https://example.com/", events=["call.started"])
    announce_call(call=call)

    assert plan.engine.prompt and "Ann" not in plan.engine.prompt
    assert "A caller could not be recognised." in caplog.text
    assert WebhookDelivery.objects.get().event == "call.started"
