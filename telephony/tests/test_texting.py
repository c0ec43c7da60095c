from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync

from agents.tools import ToolContext, ToolError, run_tool, tools_named
from crm.models import Interaction
from telephony.enums import Direction
from telephony.tests.factories import make_call
from telephony.texting.enums import Author, State
from telephony.texting.models import Message
from tenants.context import entered

pytestmark = pytest.mark.usefixtures("one_connection")
CALLER = "+15557001"


@pytest.fixture
def call(in_alice):
    return make_call(from_number=CALLER)


def send(call, tenant, text="We are at 5 High Street.", caller=CALLER):
    context = ToolContext(str(call.pk), tenant.schema_name, "", caller, own_number="+15550100")
    return async_to_sync(run_tool)(tools_named(["send_sms"])["send_sms"], context, json.dumps({"text": text})).content


def test_a_text_goes_to_the_caller_and_onto_the_timeline(call, in_alice, providers):
    assert send(call, in_alice) == {"ok": True, "sent": True}
    (sent,) = providers.network.sent_messages
    assert (sent["To"], sent["From"], sent["Body"]) == (CALLER, "+15550100", "We are at 5 High Street.")
    message = Message.objects.get()
    assert (message.state, message.author, message.message_sid) == (State.QUEUED, Author.AGENT, sent["sid"])
    entry = Interaction.objects.get(kind="sms")
    assert (entry.content, entry.metadata["from_call"]) == ("We are at 5 High Street.", str(call.pk))


def test_the_same_text_goes_once_whatever_the_model_repeats(call, in_alice, providers):
    send(call, in_alice)
    assert send(call, in_alice, text=" we are at 5 HIGH street. ")["sent"] is False
    assert send(call, in_alice, text="Another.")["sent"] is True
    assert len(providers.network.sent_messages) == 2


def test_a_withheld_number_and_a_test_call(call, in_alice, providers):
    with pytest.raises(ToolError, match="withheld"):
        send(call, in_alice, caller="anonymous")
    with pytest.raises(ToolError, match="test call"):
        send(make_call(direction=Direction.BROWSER), in_alice)
    assert providers.network.sent_messages == []


def test_a_carrier_that_does_not_answer_may_have_sent_it(call, in_alice, settings, monkeypatch, unused_port):
    monkeypatch.setattr(settings.ENV, "twilio_api_url", f"http://127.0.0.1:{unused_port}")
    with pytest.raises(ToolError, match="could not be sent"):
        send(call, in_alice)
    assert Message.objects.get().state == State.UNCERTAIN
    assert send(call, in_alice)["sent"] is False


def test_what_the_carrier_refused_may_be_tried_again(call, in_alice, providers, settings, monkeypatch):
    key = settings.ENV.twilio_auth_token
    monkeypatch.setattr(settings.ENV, "twilio_auth_token", "wrong")
    with pytest.raises(ToolError):
        send(call, in_alice)
    assert Message.objects.get().state == State.FAILED
    monkeypatch.setattr(settings.ENV, "twilio_auth_token", key)
    assert send(call, in_alice)["sent"] is True


def test_a_call_of_another_organisation_is_none(call, bob, providers):
    with entered(bob), pytest.raises(ToolError, match="test call"):
        send(call, bob)
    assert providers.network.sent_messages == []


def test_after_stop_calling_me_the_agent_sends_nothing(call, in_alice, providers):
    context = ToolContext(str(call.pk), in_alice.schema_name, "", CALLER, own_number="+15550100")
    async_to_sync(run_tool)(tools_named(["set_do_not_contact"])["set_do_not_contact"], context, "{}")
    with pytest.raises(ToolError, match="do not want text messages"):
        send(call, in_alice)
    assert providers.network.sent_messages == []


def test_an_expensive_caller_gets_no_text(in_alice, providers):
    call = make_call(from_number="+18765550123")
    with pytest.raises(ToolError, match="Texts to JM are not allowed"):
        send(call, in_alice, caller="+18765550123")
    assert providers.network.sent_messages == []
