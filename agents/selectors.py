"""Which agents an organisation sees, and which version of one answers."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from agents import availability
from agents.briefs import ALL_TOOLS, Brief
from agents.catalogue import free_briefs
from agents.models import Agent, AgentVersion
from tenants.models import Tenant

logger = logging.getLogger("agents")


def visible_agents(tenant: Tenant) -> list[Agent]:
    """Return all agents an organisation may see: free ones, those it may use, and its own, switched off ones included."""
    domains = _domains(tenant)
    agents = Agent.objects.reachable_by(tenant).select_related("published")
    return availability.available(agents, domains, include_telephony_only=True)


def find_agent(tenant: Tenant, slug: str) -> Agent | None:
    """Return an agent the organisation may see, None for any other."""
    agent = Agent.objects.reachable_by(tenant).select_related("published").filter(slug=slug).first()
    return agent if agent is not None and availability.is_available(agent.owner_domains, _domains(tenant)) else None


def available_briefs(tenant: Tenant, *, include_telephony_only: bool = False) -> list[Brief]:
    """Return the published agents an organisation may use, moderators first.

    While the database is away they are the free ones of the catalogue's file.
    """
    try:
        agents = list(Agent.objects.in_use().reachable_by(tenant).select_related("published__agent"))
        briefs = [agent.published.brief() for agent in agents if agent.published is not None]
        domains = _domains(tenant)
    except (DatabaseError, InterfaceError):
        logger.warning("The catalogue of agents could not be read; the free agents of its file stand in.")
        briefs, domains = free_briefs(), []
    return availability.available(briefs, domains, include_telephony_only=include_telephony_only)


def specialists(briefs: Sequence[Brief]) -> list[Brief]:
    return [brief for brief in briefs if not brief.is_moderator]


def moderator(briefs: Sequence[Brief]) -> Brief | None:
    return next((brief for brief in briefs if brief.is_moderator), None)


def _domains(tenant: Tenant) -> list[str]:
    return [str(domain) for domain in tenant.domains.values_list("domain", flat=True)]


def share_of(key: str) -> int:
    """Return a number from 0 to 99 that depends on the key alone: the same call gets the same version."""
    return int.from_bytes(hashlib.sha256(f"version:{key}".encode()).digest()[:4]) % 100


def version_for(agent: Agent, key: str) -> AgentVersion | None:
    """Return the version that answers a call: the draft for its share of them, else what is published."""
    if agent.draft_share and share_of(key) < agent.draft_share and (draft := agent.draft) is not None:
        return draft
    return agent.published


@dataclass(frozen=True, slots=True)
class DiffLine:
    mark: str  # "+", "-", or " "
    text: str


def diff(old: AgentVersion, new: AgentVersion) -> list[DiffLine]:
    """Return what changed between two versions, line by line, with a few lines around each change."""
    lines = difflib.unified_diff(_lines(old), _lines(new), lineterm="", n=3)
    return [DiffLine(line[0], line[1:]) for line in lines if not line.startswith(("---", "+++"))]


def _lines(version: AgentVersion) -> list[str]:
    tools = ALL_TOOLS if version.tools == ALL_TOOLS else ", ".join(version.tools) or "none"
    facts = [
        f"provider: {version.provider or 'the installation’s'}",
        f"model: {version.model or 'the installation’s'}",
        f"temperature: {'the provider’s' if version.temperature is None else version.temperature}",
        f"voice: {version.voice or 'the line’s'}",
        f"tools: {tools}",
    ]
    return [*version.prompt.splitlines(), *facts]
