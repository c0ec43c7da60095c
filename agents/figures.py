"""What billing asks of agents: their names, and what documents take up."""

from __future__ import annotations

from django.db.models import Sum
from django.urls import reverse

from agents.models import Agent
from billing import naming, storage
from billing.naming import Name


def agents(ids: list[str]) -> dict[str, Name]:
    return {
        str(agent.pk): Name(agent.name, reverse("agents:agent-detail", args=[agent.slug]))
        for agent in Agent.objects.filter(pk__in=ids)
    }


def document_bytes() -> int:
    from agents.knowledge.models import Document

    return int(Document.objects.aggregate(sum=Sum("size"))["sum"] or 0)


naming.register("agent", agents)
storage.register("documents", document_bytes)
