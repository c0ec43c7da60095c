from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission

from agents.models import Agent
from agents.organisation.models import agent_settings
from agents.services import owned, versions
from tenants.context import entered
from tenants.models import AuditEvent, User

FORM = {
    "name": "Concierge",
    "specialty": "Guests",
    "description": "Knows the house.",
    "prompt": "You are {agent_name} of {organisation}. {secret_offer}",
    "tools": ["end_call", "search_knowledge"],
    "temperature": "0.5",
}


@pytest.fixture
def agent(alice, owner) -> Agent:
    values = {"name": "Concierge", "specialty": "Guests", "prompt": "You are {agent_name}. {secret_offer}"}
    return owned.create_agent(tenant=alice, values=values, by=owner, is_published=True)


@pytest.fixture
def bobs(bob, stranger) -> Agent:
    values = {"name": "Bob's own", "specialty": "Secrets", "prompt": "Bob's secret prompt."}
    return owned.create_agent(tenant=bob, values=values, by=stranger, is_published=True)


@pytest.fixture
def client(visit, owner):
    return visit(owner)


def test_the_list_shows_what_one_may_use_and_nothing_of_others(client, agent, bobs):
    page = client.get("/agents/").content.decode()
    assert "Concierge" in page
    assert "Receptionist" in page
    assert "Bob's own" not in page
    assert "Secrets" not in page
    found = client.get("/agents/", {"q": "guests"}).content.decode()
    assert "Concierge" in found
    assert "Receptionist" not in found
    assert "No agent fits" in client.get("/agents/", {"q": "zzz"}).content.decode()


def test_an_agent_is_made_tried_published_and_rolled_back(client, alice, bobs):
    made = client.post("/agents/new/", FORM)
    agent = Agent.objects.get(name="Concierge")
    assert made.url == agent.get_absolute_url()
    assert (agent.owner, agent.published, agent.draft.tools) == (alice, None, ["end_call", "search_knowledge"])
    page = client.get(made.url).content.decode()
    assert "Not published" in page
    assert "You are Concierge of Alice" in page
    assert "{secret_offer}" in page

    client.post(f"{made.url}publish/")
    client.post(f"{made.url}edit/", {**FORM, "prompt": "Changed for good.", "note": "Shorter"})
    agent.refresh_from_db()
    assert (agent.published.number, agent.draft.number) == (1, 2)
    difference = client.get(f"{made.url}versions/2/").content.decode()
    assert "Changed for good." in difference
    assert "diff__line--gone" in difference

    client.post(f"{made.url}share/", {"percent": "20"})
    agent.refresh_from_db()
    assert agent.draft_share == 20
    client.post(f"{made.url}publish/")
    client.post(f"{made.url}versions/1/restore/")
    agent.refresh_from_db()
    assert (agent.published.number, agent.published.prompt) == (3, FORM["prompt"])
    assert AuditEvent.objects.filter(tenant=alice, action="agent-changed").count() == 6


def test_a_faulty_form_says_so_and_loses_nothing(client):
    page = client.post("/agents/new/", {**FORM, "prompt": "", "temperature": "9"})
    assert page.status_code == 422
    assert "Knows the house." in page.content.decode()
    assert not Agent.objects.filter(name="Concierge").exists()


@pytest.mark.parametrize(
    "path", ["", "edit/", "copy/", "publish/", "discard/", "share/", "switch/", "versions/1/", "versions/1/restore/"]
)
def test_another_organisations_agent_is_not_there(client, bobs, path):
    url = f"/agents/{bobs.slug}/{path}"
    assert client.get(url).status_code in (404, 405)
    assert client.post(url).status_code in (404, 405)
    assert client.get(f"/agents/{bobs.slug}/").status_code == 404


@pytest.mark.parametrize("path", ["edit/", "publish/", "share/", "switch/", "versions/1/restore/"])
def test_what_belongs_to_the_installation_is_changed_by_staff_alone(client, path):
    assert client.post(f"/agents/receptionist/{path}", {"percent": "5"}).status_code == 403
    assert client.get("/agents/receptionist/").status_code == 200


def test_a_copy_is_ones_own(client, alice):
    url = client.post("/agents/receptionist/copy/").url
    copy = Agent.objects.get(owner=alice)
    assert url == copy.get_absolute_url()
    assert "Customize" not in client.get(url).content.decode()


def test_members_talk_to_agents_and_do_not_change_them(visit, member, agent):
    client = visit(member)
    assert client.get("/agents/").url == "/agents/chat/"
    for path in ("new/", f"{agent.slug}/", f"{agent.slug}/edit/", "knowledge/", "settings/"):
        assert client.get(f"/agents/{path}").status_code == 403


def test_switching_off_and_discarding(client, agent, owner):
    client.post(f"{agent.get_absolute_url()}switch/", {"on": "0"})
    agent.refresh_from_db()
    assert not agent.is_active
    versions.save_draft(agent=agent, values={"prompt": "x"}, by=owner)
    client.post(f"{agent.get_absolute_url()}discard/")
    assert agent.draft is None
    page = client.post(f"{agent.get_absolute_url()}publish/", follow=True).content.decode()
    assert "There is no draft to publish" in page


def test_settings_take_names_and_phrases_as_people_write_them(client, alice, bob):
    with entered(alice):
        row = agent_settings()
    form = {name: getattr(row, name) for name in row.__dict__ if not name.startswith("_")}
    form |= {"variables": "secret_offer: ten percent\n\nplace: Hall 5: north", "waiting_texts": "One moment.\nSoon."}
    form |= {name: "\n".join(form[name]) for name in ("ask_phrases", "yes_phrases", "no_phrases")}
    assert client.post("/agents/settings/", form).status_code == 302
    with entered(alice):
        row = agent_settings()
        assert row.variables == {"secret_offer": "ten percent", "place": "Hall 5: north"}
        assert row.waiting_texts == ["One moment.", "Soon."]
    with entered(bob):
        assert agent_settings().variables == {}
    bad = client.post("/agents/settings/", {**form, "variables": "no colon here"})
    assert bad.status_code == 422
    assert "no colon here" in bad.content.decode()
    assert client.post("/agents/settings/", {**form, "variables": "Big Name: x"}).status_code == 422


@pytest.fixture
def staff(visit, db):
    user = User.objects.create_superuser("staff@installation.test", "correct horse battery")
    return visit(user, host="localhost")


def test_staff_change_the_catalogue_in_the_admin(staff, bobs):
    listing = staff.get("/admin/agents/agent/").content.decode()
    assert "Receptionist" in listing
    assert "Bob" in listing
    agent = Agent.objects.get(slug="receptionist")
    url = f"/admin/agents/agent/{agent.pk}/change/"
    assert agent.published.prompt[:40] in staff.get(url).content.decode()
    form = {"name": agent.name, "slug": agent.slug, "specialty": "Changed", "owner_domains": "[]", "is_active": "on"}
    form |= {"prompt": "New prompt.", "tools": '"all"', "provider": "", "model": "", "voice": "", "note": "Why"}
    inline = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
    assert staff.post(url, {**form, **inline}).status_code == 302
    agent.refresh_from_db()
    assert (agent.specialty, agent.draft.prompt) == ("Changed", "New prompt.")
    staff.post("/admin/agents/agent/", {"action": "publish", "_selected_action": [agent.pk]})
    agent.refresh_from_db()
    assert agent.published.prompt == "New prompt."
    former = agent.versions.get(number=1)
    staff.post("/admin/agents/agentversion/", {"action": "restore", "_selected_action": [former.pk]})
    agent.refresh_from_db()
    assert (agent.published.number, agent.published.prompt) == (3, former.prompt)
    assert staff.get(f"/admin/agents/agentversion/{former.pk}/change/").status_code == 200
    assert staff.get(f"/admin/agents/agentversion/{former.pk}/delete/").status_code == 403


def test_staff_without_the_right_may_not(visit, db):
    user = User.objects.create_user("viewer@installation.test", "correct horse battery", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_agent", "view_agentversion"]))
    client = visit(user, host="localhost")
    version = Agent.objects.get(slug="receptionist").versions.get()
    client.post("/admin/agents/agentversion/", {"action": "restore", "_selected_action": [version.pk]})
    assert Agent.objects.get(slug="receptionist").versions.count() == 1
