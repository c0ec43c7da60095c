"""Which agent answers a line, in which version, and what the model reads."""

from __future__ import annotations

import pytest

from agents.models import Agent
from agents.organisation.models import agent_settings
from agents.outcomes import outcomes_of
from agents.services import owned, versions
from telephony.enums import EndedReason
from telephony.models import Call
from telephony.services.answering import IncomingCall, answer_call
from telephony.services.plans import compose_line, plan_call
from telephony.tests.factories import add_message, call_sid, make_finished_call
from tenants.context import entered


@pytest.fixture
def agent(alice, owner):
    values = {
        "name": "Concierge",
        "specialty": "Guests",
        "prompt": "You are {agent_name} of {organisation}. {offer} {unknown}",
        "tools": ["end_call", "search_knowledge"],
        "voice": "agent-voice",
        "temperature": 0.9,
        "provider": "anthropic",
        "model": "agent-model",
    }
    return owned.create_agent(tenant=alice, values=values, by=owner, is_published=True)


@pytest.fixture
def answering(line, agent):
    line.agent = agent
    line.prompt = "This line sells {offer}."
    line.variables = {"offer": "tea"}
    line.save()
    return line


def ring(sid=None):
    answer_call(incoming=IncomingCall(sid or call_sid(), "AC1", "+15557001", "+15550100"))
    with entered(Agent.objects.get(name="Concierge").owner):
        return Call.objects.select_related("line__agent").order_by("-started_at").first()


def test_the_prompt_is_the_agents_then_the_lines_with_names_filled_in(answering, alice, agent):
    settings = agent_settings()
    settings.variables = {"offer": "coffee", "unknown": "Known after all."}
    settings.save()
    composed = compose_line(line=answering, tenant=alice, version=agent.published)
    assert composed.prompt.text == "You are Robin of Alice's. tea Known after all.\n\nThis line sells tea."
    assert composed.prompt.missing == ()
    assert list(composed.tools) == ["end_call", "search_knowledge"]
    assert (composed.voice, composed.think_provider, composed.think_model) == ("agent-voice", "anthropic", "agent-model")
    assert composed.temperature == 0.9


def test_what_the_line_names_wins(answering, alice, agent):
    answering.voice, answering.think_model, answering.temperature = "line-voice", "line-model", 0.1
    answering.tools = ["end_call", "add_note"]
    composed = compose_line(line=answering, tenant=alice, version=agent.published)
    assert (composed.voice, composed.think_model, composed.temperature) == ("line-voice", "line-model", 0.1)
    assert composed.think_provider == "open_ai"
    assert list(composed.tools) == ["end_call"]


def test_a_line_without_an_agent_is_its_own(line, alice, settings):
    composed = compose_line(line=line, tenant=alice, version=None)
    assert composed.prompt.text.startswith("You are Robin, who answers the telephone for Alice's.")
    assert composed.voice == settings.ENV.voice_agent_speaking_model
    assert "consult_specialist" in composed.tools


def test_a_call_keeps_the_version_it_began_with(answering, alice, agent, owner):
    call = ring()
    assert (call.agent, call.agent_version) == (agent, agent.published)
    versions.save_draft(agent=agent, values={"prompt": "New."}, by=owner)
    versions.publish_draft(agent=agent, by=owner)
    call.stream_count = 1
    with entered(alice):
        assert plan_call(call=call, tenant=alice).engine.prompt.startswith("You are Robin of Alice's.")
    assert ring().agent_version.number == 2


def test_a_share_of_calls_runs_the_draft(answering, agent, owner):
    draft = versions.save_draft(agent=agent, values={"prompt": "New."}, by=owner)
    versions.set_draft_share(agent=agent, percent=100)
    assert ring().agent_version == draft


def test_an_agent_that_is_switched_off_leaves_the_line_to_its_own_prompt(answering, agent):
    owned.switch_agent(agent=agent, is_active=False)
    assert ring().agent_version is None


def test_the_page_shows_what_the_model_reads(answering, visit, owner):
    page = visit(owner).get(f"/settings/lines/{answering.pk}/prompt/").content.decode()
    assert "You are Robin of Alice&#x27;s. tea" in page
    assert "Nothing is filled in for" in page
    assert "Concierge" in page


def test_lines_take_only_agents_of_ones_own(line, visit, owner, bob, stranger):
    values = {"name": "Bob's own", "specialty": "Secrets", "prompt": "Secret."}
    bobs = owned.create_agent(tenant=bob, values=values, by=stranger, is_published=True)
    client = visit(owner)
    page = client.get(line.get_absolute_url()).content.decode()
    assert "Bob&#x27;s own" not in page
    assert "Receptionist" in page
    url = f"/api/v1/lines/{line.pk}/"
    refused = client.patch(url, {"agent": bobs.slug}, content_type="application/json")
    assert refused.status_code == 400
    taken = client.patch(url, {"agent": "receptionist"}, content_type="application/json")
    assert taken.json()["agent"] == "receptionist"
    assert client.patch(url, {"agent": "moderator"}, content_type="application/json").status_code == 400


def test_outcomes_stand_side_by_side_and_are_the_organisations_own(answering, alice, agent, owner, bob, visit):
    draft = versions.save_draft(agent=agent, values={"prompt": "New."}, by=owner)
    first = make_finished_call(agent=agent, agent_version=agent.published, duration_s=60)
    make_finished_call(agent=agent, agent_version=agent.published, answered_at=None, duration_s=None)
    make_finished_call(agent=agent, agent_version=draft, duration_s=30, ended_reason=EndedReason.TRANSFERRED)
    add_message(first, 1, "assistant", "x", latency={"total": 400})
    add_message(first, 2, "assistant", "x", latency={"think": 400})
    new, old = outcomes_of(agent)
    assert (new.number, new.calls, new.transferred, new.mean_length_s, new.wait_p50_ms) == (2, 1, 1, 30.0, None)
    assert (old.number, old.calls, old.answered, old.mean_length_s, old.wait_p50_ms) == (1, 2, 1, 60.0, 400)
    assert (old.cost, old.booked) == (None, None)
    with entered(bob):
        assert outcomes_of(agent) == []
    page = visit(owner).get(agent.get_absolute_url()).content.decode()
    assert "What became of calls" in page
    assert "unknown" in page
