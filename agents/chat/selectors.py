"""What the pages and the API show: a person's own conversations and nobody else's."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from agents import selectors
from agents.briefs import Brief
from agents.chat.models import Conversation, Message
from agents.models import Agent
from tenants.models import Tenant, User

SHOWN = 30


def conversations_of(user: User) -> QuerySet[Conversation]:
    return Conversation.objects.filter(user=user)


def find_conversation(user: User, conversation_id: UUID) -> Conversation | None:
    return Conversation.objects.filter(user=user, pk=conversation_id).first()


def messages_of(conversation: Conversation) -> list[Message]:
    return list(conversation.messages.all())


def agents_to_talk_to(tenant: Tenant) -> list[Brief]:
    return selectors.specialists(selectors.available_briefs(tenant))


def agent_to_talk_to(tenant: Tenant, slug: str) -> Agent | None:
    """Return the agent of this slug if the organisation may chat with it."""
    if slug not in {brief.slug for brief in agents_to_talk_to(tenant)}:
        return None
    return Agent.objects.filter(slug=slug).first()
