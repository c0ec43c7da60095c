"""An organisation's own agents."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from agents.models import Agent
from agents.services.versions import CONTENT, publish_draft, save_draft
from tenants.models import Tenant, User

ABOUT = ("name", "specialty", "description", "telephony_only")


def create_agent(*, tenant: Tenant, values: dict[str, Any], by: User | None, is_published: bool = False) -> Agent:
    """Make an agent that belongs to this organisation alone, with a draft of what it is. Raises VersionError."""
    about = {name: values[name] for name in ABOUT if name in values}
    for number in range(1, 1000):
        slug = _slug(tenant, values["name"], number)
        try:
            with transaction.atomic():
                agent = Agent.objects.create(slug=slug, owner=tenant, owner_domains=domains_of(tenant), **about)
                save_draft(agent=agent, values=values, by=by)
                if is_published:
                    publish_draft(agent=agent, by=by)
        except IntegrityError:  # the slug is taken
            continue
        return agent
    raise IntegrityError("no slug was free")


def copy_agent(*, agent: Agent, tenant: Tenant, by: User | None) -> Agent:
    """Make an organisation's own agent of one it may use, published as it is."""
    source = agent.published
    content = {name: getattr(source, name) for name in CONTENT}
    about = {name: getattr(agent, name) for name in ABOUT}
    return create_agent(
        tenant=tenant, values={**about, **content, "note": f"Made from {agent.name}"}, by=by, is_published=True
    )


def change_agent(*, agent: Agent, values: dict[str, Any], by: User | None) -> None:
    """Change what is said about an agent at once, and what it is in its draft. Raises VersionError."""
    with transaction.atomic():
        for name in ABOUT:
            if name in values:
                setattr(agent, name, values[name])
        agent.save(update_fields=[*ABOUT, "updated_at"])
        current = agent.draft or agent.published
        if any(name in values and values[name] != getattr(current, name, None) for name in (*CONTENT, "note")):
            save_draft(agent=agent, values=values, by=by)


def switch_agent(*, agent: Agent, is_active: bool) -> None:
    """An agent that is off takes no new calls and conversations; its history stays."""
    Agent.objects.filter(pk=agent.pk).update(is_active=is_active)
    agent.is_active = is_active


def domains_of(tenant: Tenant) -> list[str]:
    return [str(domain) for domain in tenant.domains.values_list("domain", flat=True)]


def _slug(tenant: Tenant, name: str, number: int) -> str:
    """Return a slug that says nothing of the organisation to others, and does not collide with the catalogue's."""
    base = f"{slugify(name)[:30] or 'agent'}-{tenant.schema_name.removeprefix('t_')[:8]}"
    return base if number == 1 else f"{base}-{number}"
