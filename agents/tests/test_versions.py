from __future__ import annotations

import pytest

from agents import selectors
from agents.models import Agent
from agents.services import owned, versions
from agents.services.versions import VersionError


@pytest.fixture
def agent(alice, owner):
    return owned.create_agent(
        tenant=alice,
        values={"name": "Concierge", "specialty": "Guests", "prompt": "One.\nTwo.\nThree.", "tools": ["end_call"]},
        by=owner,
        is_published=True,
    )


def test_a_draft_is_made_of_what_is_published_and_published_at_once(agent, owner):
    draft = versions.save_draft(agent=agent, values={"prompt": "One.\n2.\nThree.", "note": "Shorter"}, by=owner)
    assert (draft.number, draft.tools, draft.state) == (2, ["end_call"], "draft")
    assert versions.save_draft(agent=agent, values={"temperature": 0.1}, by=owner).pk == draft.pk
    agent.refresh_from_db()
    assert agent.published.number == 1

    versions.publish_draft(agent=agent, by=owner)
    agent.refresh_from_db()
    assert (agent.published.number, agent.published.prompt, agent.draft) == (2, "One.\n2.\nThree.", None)
    assert [version.state for version in agent.versions.all()] == ["published", "former"]
    with pytest.raises(VersionError, match="no draft"):
        versions.publish_draft(agent=agent, by=owner)


def test_a_former_version_comes_back_as_a_new_one_and_the_draft_stays(agent, owner):
    versions.save_draft(agent=agent, values={"prompt": "Bad."}, by=owner)
    versions.publish_draft(agent=agent, by=owner)
    versions.save_draft(agent=agent, values={"prompt": "Unfinished."}, by=owner)
    first = agent.versions.get(number=1)

    copy = versions.restore_version(version=first, by=owner)
    agent.refresh_from_db()
    assert (copy.number, copy.note, agent.published_id) == (4, "Version 1 again", copy.pk)
    assert agent.published.prompt == first.prompt
    assert agent.draft.prompt == "Unfinished."
    for version in (copy, agent.draft):
        with pytest.raises(VersionError, match="nothing to restore"):
            versions.restore_version(version=version, by=owner)


def test_the_difference_is_told_line_by_line(agent, owner):
    draft = versions.save_draft(agent=agent, values={"prompt": "One.\nZwei.\nThree.", "tools": "all"}, by=owner)
    changed = [(line.mark, line.text) for line in selectors.diff(agent.published, draft) if line.mark in "+-"]
    assert changed == [("-", "Two."), ("+", "Zwei."), ("-", "tools: end_call"), ("+", "tools: all")]


def test_a_prompt_is_needed(agent, owner):
    with pytest.raises(VersionError, match="prompt"):
        versions.save_draft(agent=agent, values={"prompt": "  "}, by=owner)
    assert agent.draft is None


def test_a_share_of_calls_runs_the_draft_and_the_same_call_always_the_same(agent, owner):
    with pytest.raises(VersionError, match="no draft"):
        versions.set_draft_share(agent=agent, percent=10)
    draft = versions.save_draft(agent=agent, values={"prompt": "New."}, by=owner)
    with pytest.raises(VersionError, match="from 0 to 100"):
        versions.set_draft_share(agent=agent, percent=101)
    versions.set_draft_share(agent=agent, percent=30)
    agent.refresh_from_db()
    sids = [f"CA{number:032x}" for number in range(1000)]
    on_draft = {sid for sid in sids if selectors.version_for(agent, sid) == draft}
    assert 240 < len(on_draft) < 360
    assert on_draft == {sid for sid in sids if selectors.version_for(agent, sid) == draft}

    versions.publish_draft(agent=agent, by=owner)
    agent.refresh_from_db()
    assert agent.draft_share == 0
    assert selectors.version_for(agent, sids[0]) == draft


def test_a_discarded_draft_is_kept_for_the_calls_that_ran_on_it(agent, owner):
    draft = versions.save_draft(agent=agent, values={"prompt": "New."}, by=owner)
    versions.set_draft_share(agent=agent, percent=50)
    assert versions.discard_draft(agent=agent)
    assert not versions.discard_draft(agent=agent)
    draft.refresh_from_db()
    agent.refresh_from_db()
    assert (draft.state, draft.note, agent.draft, agent.draft_share) == ("former", "Never published", None, 0)


def test_an_own_agent_is_seen_by_its_owner_alone(agent, alice, bob):
    assert agent.owner_domains == ["alice.test"]
    assert selectors.find_agent(alice, agent.slug) == agent
    assert selectors.find_agent(bob, agent.slug) is None
    assert agent not in selectors.visible_agents(bob)
    assert agent.slug not in [brief.slug for brief in selectors.available_briefs(bob)]
    Agent.objects.filter(pk=agent.pk).update(owner_domains=[])  # freed by mistake: still its owner's
    assert selectors.find_agent(bob, agent.slug) is None
    assert "alice" not in agent.slug


def test_an_agent_of_several_organisations_is_not_seen_by_others(alice, bob):
    agent = Agent.objects.create(slug="theirs", name="Theirs", specialty="S", owner_domains=["bob.test", "carol.test"])
    assert selectors.find_agent(bob, "theirs") == agent
    assert selectors.find_agent(alice, "theirs") is None


def test_a_copy_belongs_to_the_organisation_and_says_where_it_is_from(alice, bob, owner):
    source = Agent.objects.get(slug="receptionist")
    copy = owned.copy_agent(agent=source, tenant=alice, by=owner)
    assert copy.slug != source.slug
    assert copy.owner == alice
    assert copy.published.prompt == source.published.prompt
    assert copy.published.note == "Made from Receptionist"
    assert selectors.find_agent(bob, copy.slug) is None
    again = owned.copy_agent(agent=source, tenant=alice, by=owner)
    assert again.slug == f"{copy.slug}-2"


def test_what_is_said_about_an_agent_changes_at_once_and_what_it_is_in_its_draft(agent, owner):
    owned.change_agent(agent=agent, values={"name": "Porter", "prompt": "One.\nTwo.\nThree."}, by=owner)
    assert Agent.objects.get(pk=agent.pk).name == "Porter"
    assert agent.draft is None
    owned.change_agent(agent=agent, values={"prompt": "Other."}, by=owner)
    assert agent.draft.prompt == "Other."


def test_one_that_is_off_answers_nobody(agent, alice):
    owned.switch_agent(agent=agent, is_active=False)
    assert agent.slug not in [brief.slug for brief in selectors.available_briefs(alice)]
    assert agent in selectors.visible_agents(alice)
