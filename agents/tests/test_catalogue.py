from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from agents import selectors
from agents.catalogue import CatalogueError, entries, free_briefs, parse
from agents.composing import names_in
from agents.models import Agent
from agents.services.syncing import sync_catalogue
from agents.services.versions import publish_draft, save_draft

PLAIN = {"slug": "helper", "name": "Helper", "specialty": "Helping", "prompt": "You help."}


def entry(**values):
    import yaml

    return parse(yaml.safe_dump([{**PLAIN, **values}]))


def test_what_comes_along_is_complete_and_can_be_used():
    found = {entry["slug"]: entry for entry in entries()}
    assert {"moderator", "receptionist", "qualification", "objection-handling", "scheduling", "analytics"} <= set(found)
    assert len(found) >= 26
    assert [slug for slug, one in found.items() if one["is_moderator"]] == ["moderator"]
    for slug, one in found.items():
        assert len(one["prompt"]) > 400, slug
        assert set(names_in(one["prompt"])) <= {"organisation", "agent_name"}, slug
        assert one["owner_domains"] == [], slug


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- slug: [", "not YAML"),
        ("- {slug: a, name: A, specialty: S}", "prompt must be given"),
        ("- {slug: a, name: A, specialty: S, prompt: P, mood: good}", "nobody knows mood"),
        ("- {slug: a, name: A, specialty: S, prompt: P}\n- {slug: a, name: B, specialty: S, prompt: P}", "used twice"),
    ],
)
def test_a_faulty_file_says_what_is_wrong(text, why):
    with pytest.raises(CatalogueError, match=why):
        parse(text)


def test_every_installation_has_it_and_syncing_again_changes_nothing(db):
    assert Agent.objects.in_use().count() >= len(entries())
    versions = Agent.objects.get(slug="receptionist").versions.count()
    done = sync_catalogue(entries=entries())
    assert (done.added, done.changed, done.kept) == ([], [], {})
    assert Agent.objects.get(slug="receptionist").versions.count() == versions == 1


def test_a_changed_entry_becomes_a_new_version(db):
    sync_catalogue(entries=entry())
    done = sync_catalogue(entries=entry(prompt="You help better.", description="More"))
    agent = Agent.objects.get(slug="helper")
    assert done.changed == ["helper"]
    assert (agent.published.number, agent.published.prompt, agent.description) == (2, "You help better.", "More")
    assert [(version.number, version.state) for version in agent.versions.all()] == [(2, "published"), (1, "former")]
    assert sync_catalogue(entries=entry(prompt="You help better.", description="More")).changed == []


def test_what_somebody_changed_stays_and_the_rest_follows(db, owner):
    sync_catalogue(entries=entry())
    agent = Agent.objects.get(slug="helper")
    Agent.objects.filter(pk=agent.pk).update(name="Our helper", owner_domains=["alice.test"])
    save_draft(agent=agent, values={"prompt": "You help as we say."}, by=owner)
    publish_draft(agent=agent, by=owner)

    done = sync_catalogue(entries=entry(name="New name", prompt="You help anew.", specialty="Everything"))
    agent.refresh_from_db()
    assert done.kept == {"helper": ["name", "owner_domains", "prompt"]}
    assert (agent.name, agent.owner_domains, agent.published.prompt) == (
        "Our helper",
        ["alice.test"],
        "You help as we say.",
    )
    assert agent.specialty == "Everything"
    sync_catalogue(entries=entry(name="Newer", prompt="You help anew.", specialty="Everything"))
    agent.refresh_from_db()
    assert (agent.name, agent.versions.count()) == ("Our helper", 2)


def test_one_made_by_hand_under_the_same_name_is_left_alone(db):
    Agent.objects.create(slug="helper", name="By hand", specialty="Other")
    done = sync_catalogue(entries=entry())
    assert done.kept == {"helper": ["everything"]}
    assert Agent.objects.get(slug="helper").published is None


def test_the_command_says_what_it_did(db, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("- {slug: mine, name: Mine, specialty: S, prompt: P}\n")
    out = io.StringIO()
    call_command("sync_agents", str(path), stdout=out)
    assert "1 added" in out.getvalue()
    Agent.objects.filter(slug="mine").update(name="Changed")
    call_command("sync_agents", str(path), stdout=out)
    assert "mine: left as somebody changed it: name" in out.getvalue()
    path.write_text("- [")
    with pytest.raises(CommandError, match="YAML"):
        call_command("sync_agents", str(path))


def test_free_ones_come_from_the_file_while_the_database_is_away(alice, monkeypatch, caplog):
    def fail(*_):
        raise DatabaseError

    Agent.objects.create(slug="alices", name="Alice's", specialty="S", owner=alice, owner_domains=["alice.test"])
    usual = {brief.slug for brief in selectors.available_briefs(alice)}
    monkeypatch.setattr(selectors.Agent.objects, "in_use", fail)
    briefs = selectors.available_briefs(alice)
    assert [brief.slug for brief in briefs] == [brief.slug for brief in free_briefs()]
    assert {brief.slug for brief in briefs} <= usual
    assert all(brief.version_id is None for brief in briefs)
    assert selectors.moderator(briefs).slug == "moderator"
    assert "could not be read" in caplog.text
