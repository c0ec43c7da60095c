"""The catalogue's file into the database, without touching what somebody has changed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.catalogue import AGENT_FIELDS, VERSION_FIELDS
from agents.enums import VersionState
from agents.models import Agent, AgentVersion
from agents.services.versions import next_number, publish_version
from tenants.context import in_public

NOTE = "From the catalogue"


@dataclass(slots=True)
class Synced:
    """Slugs by what was done; `kept` names the fields that were left as somebody had changed them."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: dict[str, list[str]] = field(default_factory=dict)


def sync_catalogue(*, entries: Sequence[dict[str, Any]]) -> Synced:
    """Bring entries of the catalogue into the database. Safe to repeat; what the file no longer names stays."""
    done = Synced()
    with in_public():
        for entry in entries:
            with transaction.atomic():
                _sync(entry, done)
    return done


def _sync(entry: dict[str, Any], done: Synced) -> None:
    slug = entry["slug"]
    about = {name: entry[name] for name in AGENT_FIELDS}
    content = {name: entry[name] for name in VERSION_FIELDS}
    agent, is_new = Agent.objects.select_for_update().get_or_create(slug=slug, defaults=about)
    if is_new:
        done.added.append(slug)
    elif agent.synced is None:  # somebody made one of the same name by hand
        done.kept[slug] = ["everything"]
        return
    before = agent.synced or {}
    kept = [name for name in AGENT_FIELDS if not is_new and getattr(agent, name) != before.get(name)]
    news = {name: value for name, value in about.items() if name not in kept and value != getattr(agent, name)}
    published = agent.published
    is_ours = published is None or {name: getattr(published, name) for name in VERSION_FIELDS} == {
        name: before.get(name) for name in VERSION_FIELDS
    }
    if not is_ours:
        kept += [name for name in VERSION_FIELDS if getattr(published, name) != before.get(name)]
    has_content = is_ours and (published is None or any(getattr(published, n) != v for n, v in content.items()))
    if kept:
        done.kept[slug] = kept
    if news or (has_content and not is_new):
        done.changed.append(slug)
    # What the file says now, also of fields left alone: the next change of it is told from theirs.
    written = {name: before.get(name) if name in kept else value for name, value in (about | content).items()}
    Agent.objects.filter(pk=agent.pk).update(**news, synced=written)
    if has_content:
        version = AgentVersion.objects.create(
            agent=agent, number=next_number(agent), state=VersionState.FORMER, note=NOTE, **content
        )
        publish_version(version=version, by=None, now=timezone.now())
