"""An agent's versions: one draft that changes, one that is published, and what was before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from agents.enums import VersionState
from agents.models import Agent, AgentVersion
from tenants.models import User

CONTENT = ("prompt", "provider", "model", "temperature", "voice", "tools")


class VersionError(ValueError):
    """The version cannot be changed or published as asked; the text is for the person who asked."""


def next_number(agent: Agent) -> int:
    return int(agent.versions.aggregate(last=Max("number"))["last"] or 0) + 1


def save_draft(*, agent: Agent, values: dict[str, Any], by: User | None) -> AgentVersion:
    """Change the draft, made now from what is published if there is none. Raises VersionError for an empty prompt."""
    with transaction.atomic():
        _lock(agent)
        draft = agent.draft
        if draft is None:
            source = agent.published
            kept = {name: getattr(source, name) for name in CONTENT} if source is not None else {}
            draft = AgentVersion(agent=agent, number=next_number(agent), **kept)
        for name in (*CONTENT, "note"):
            if name in values:
                setattr(draft, name, values[name])
        if not draft.prompt.strip():
            raise VersionError("Write a prompt first: it is what the agent is.")
        draft.created_by = by
        draft.save()
    return draft


def publish_draft(*, agent: Agent, by: User | None) -> AgentVersion:
    """Make the draft what is used from now on. Raises VersionError when there is none."""
    with transaction.atomic():
        _lock(agent)
        draft = agent.draft
        if draft is None:
            raise VersionError("There is no draft to publish. It may just have been published by somebody else.")
        publish_version(version=draft, by=by, now=timezone.now())
        Agent.objects.filter(pk=agent.pk).update(draft_share=0)
    return draft


def publish_version(*, version: AgentVersion, by: User | None, now: datetime) -> None:
    """Must run in a transaction that holds the agent."""
    agent = version.agent
    agent.versions.filter(state=VersionState.PUBLISHED).update(state=VersionState.FORMER)
    version.state = VersionState.PUBLISHED
    version.published_at = now
    version.created_by = version.created_by or by
    version.save()
    agent.published = version
    agent.save(update_fields=["published", "updated_at"])


def restore_version(*, version: AgentVersion, by: User | None) -> AgentVersion:
    """Publish a copy of a former version at once: the way back when a new one does harm. A draft stays as it is.

    Raises VersionError when the version is the published one already, or a draft.
    """
    if version.state != VersionState.FORMER:
        raise VersionError("This version is in use, or not published yet: there is nothing to restore.")
    with transaction.atomic():
        _lock(version.agent)
        copy = AgentVersion(
            agent=version.agent,
            number=next_number(version.agent),
            state=VersionState.FORMER,
            note=f"Version {version.number} again",
            created_by=by,
            **{name: getattr(version, name) for name in CONTENT},
        )
        copy.save()
        publish_version(version=copy, by=by, now=timezone.now())
    return copy


def discard_draft(*, agent: Agent) -> bool:
    """Throw the draft away, unless it has carried calls: then it is kept as a former version, for them to name it."""
    with transaction.atomic():
        _lock(agent)
        Agent.objects.filter(pk=agent.pk).update(draft_share=0)
        changed = agent.versions.filter(state=VersionState.DRAFT).update(state=VersionState.FORMER, note="Never published")
    return bool(changed)


def set_draft_share(*, agent: Agent, percent: int) -> None:
    """Let the draft answer this share of calls. Raises VersionError without a draft, or for a share that is none."""
    if not 0 <= percent <= 100:
        raise VersionError("A share is from 0 to 100 percent.")
    if percent and agent.draft is None:
        raise VersionError("There is no draft to try. Change something first.")
    Agent.objects.filter(pk=agent.pk).update(draft_share=percent)


def _lock(agent: Agent) -> None:
    Agent.objects.select_for_update().get(pk=agent.pk)
