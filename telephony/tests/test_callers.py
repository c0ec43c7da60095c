from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.models import Contact, Interaction
from crm.phones import is_e164
from crm.services.merging import merge_contacts, undo_merge
from crm.tests.factories import make_contact, make_interaction
from telephony.enums import Direction, SummaryStatus
from telephony.masking import mask_number
from telephony.models import Call
from telephony.services.answering import IncomingCall, new_call
from telephony.services.callers import log_call, recognise_caller, unlogged_calls
from telephony.services.plans import plan_call
from telephony.tests.factories import incoming_form, make_call, make_finished_call
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
    call = make_call(line, attestation="TN-Validation-Passed-A")

    plan = plan_call(call=call, tenant=alice)

    assert "Name: Ann. Business: Ann & Co. Status: Lead." in plan.engine.prompt
    assert "Wants (agent_name) red paint" in plan.engine.prompt and "Send the offer" in plan.engine.prompt
    call.refresh_from_db()
    assert call.contact == ann
    assert recognise_caller(call=make_call(line, from_number="+15559")) == ""


@pytest.mark.parametrize("attestation", ["", "TN-Validation-Passed-B", "TN-Validation-Failed-A", "No-TN-Validation"])
def test_a_number_nobody_vouches_for_is_no_proof(line, alice, attestation):
    ann = make_contact("Ann", phone="+15557001")
    make_interaction(ann, "meeting", subject="Wants red paint")
    make_interaction(ann, "task", subject="Send the offer")

    plan = plan_call(call=make_call(line, attestation=attestation), tenant=alice)

    assert "Name: Ann." in plan.engine.prompt
    assert "red paint" not in plan.engine.prompt and "Send the offer" not in plan.engine.prompt
    assert (plan.caller_verified, plan.details_by_number) == (False, False)

    line.details_by_number = True
    line.save()
    plan = plan_call(call=make_call(line, attestation=attestation), tenant=alice)
    assert "red paint" in plan.engine.prompt and plan.details_by_number


def test_the_networks_word_for_a_number_is_kept_and_told_to_tools(line, alice):
    incoming = IncomingCall.from_form(incoming_form(StirVerstat="TN-Validation-Passed-A"))
    call = new_call(incoming, line)
    call.save()

    assert plan_call(call=call, tenant=alice).caller_verified


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


HIDDEN = ["+266696687", "+7378742833", "+86282452253", "anonymous", "Restricted", "unavailable", "", "  "]
HIDDEN += ["+anonymous", "+0", "+1", "+10000000000", "sip:anonymous@anonymous.invalid", "\x00", "sip:@", "tel:"]


@pytest.mark.parametrize("number", HIDDEN)
def test_withheld_and_impossible_numbers_are_nobody(line, number):
    call = new_call(IncomingCall.from_form(incoming_form(From=number)), line)
    call.status, call.ended_at = "completed", call.started_at
    call.save()
    log_call(call_id=str(call.pk))

    assert call.from_number == "anonymous"
    assert not Contact.objects.exists()


SPELLED = ["+15557654399", "15557654399", "0015557654399", "+1 (555) 765-4399", " +15557654399 ", "tel:+15557654399"]
SPELLED += [
    "sip:+15557654399@10.0.0.1:5060;user=phone",
    "sip:15557654399@pbx.example",
    '"Ann" <sip:+15557654399@pbx.example>',
]


@pytest.mark.parametrize("spelling", [*SPELLED, "5557654399", "(555) 765-4399"])
def test_a_caller_is_recognised_however_the_network_writes_the_number(line, alice, bob, spelling):
    with entered(bob):
        make_contact("Bob's", phone="+15557654399")
    ann = make_contact("Ann", phone="+15557654399")

    call = new_call(IncomingCall.from_form(incoming_form(From=spelling)), line)
    call.save()
    plan = plan_call(call=call, tenant=alice)

    assert (call.from_number, plan.caller_number) == ("+15557654399", "+15557654399")
    assert "Name: Ann." in plan.engine.prompt
    assert Call.objects.get(contact=ann).from_raw == (spelling if spelling != "+15557654399" else "")
    assert list(Call.objects.with_number("+15557654399")) == [call]


def test_a_caller_with_an_address_and_no_number_is_known_by_it(line, alice):
    call = new_call(IncomingCall.from_form(incoming_form(From="sip:Front.Desk@PBX.example:5060")), line)
    call.save()

    assert call.from_number == "front.desk@pbx.example"
    assert plan_call(call=call, tenant=alice).caller_number == ""  # nobody could call or text it
    assert mask_number(call.from_number) == "f•••@pbx.example"
    assert list(Call.objects.with_number("front.desk@pbx.example")) == [call]


def test_a_number_without_a_country_is_one_of_the_called_numbers(line):
    incoming = IncomingCall.from_form(incoming_form(From="030 1234567", To="+493012345678"))

    assert incoming.from_number == "+49301234567"


@pytest.mark.parametrize(("told", "asked"), [("+5491123456789", "+541123456789"), ("+525512345678", "+5215512345678")])
def test_calls_are_found_by_either_spelling_of_a_mobile_number(line, told, asked):
    call = make_call(line, from_number=told)

    assert list(Call.objects.with_number(asked)) == [call]


@given(form=st.fixed_dictionaries({"From": st.text(max_size=40) | st.from_regex(r"\A(sips?|tel):.{0,30}\Z")}))
def test_any_from_is_a_number_an_address_or_nobody(form):
    found = IncomingCall.from_form({"CallSid": "CA1", "To": "+15550100", **form}).from_number

    assert is_e164(found) or "@" in found or found == "anonymous" or found.startswith("client:")
    assert IncomingCall.from_form({"CallSid": "CA1", "To": "+15550100", "From": found}).from_number == found or "@" in found


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
