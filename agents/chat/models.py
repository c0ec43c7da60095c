from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from agents.chat.enums import UNFINISHED, Author, ChosenBy, State
from agents.llm.base import ErrorCode
from thanos.encryption import EncryptedJSONField, EncryptedTextField

# In sentences for people: what the code means, and what to do.
PROBLEMS = {
    ErrorCode.NOT_CONFIGURED: "No language model is set up for this agent. Whoever runs the installation can name one.",
    ErrorCode.UNREACHABLE: "The language model could not be reached. Try again in a moment.",
    ErrorCode.TOO_SLOW: "The language model took too long. Try again, or ask for less at once.",
    ErrorCode.RATE_LIMITED: "The language model is asked too often just now. Try again in a minute.",
    ErrorCode.OVERLOADED: "The language model is overloaded. Try again in a minute.",
    ErrorCode.NO_CREDIT: "The account with the language model's provider has no credit left.",
    ErrorCode.REFUSED_KEY: "The language model's provider refused our key.",
    ErrorCode.UNKNOWN_MODEL: "The provider does not know this agent's model. Its version names one that is gone.",
    ErrorCode.REFUSED_REQUEST: "The language model's provider refused the question.",
    ErrorCode.TOO_LONG: "The conversation is too long for this agent's model. Begin a new one.",
    ErrorCode.BROKEN_ANSWER: "The answer broke off. Try again.",
    ErrorCode.RESTING: "The language model has failed often just now, and is left alone for a moment. Try again soon.",
}
INTERRUPTED = "interrupted"
NO_AGENT = "no-agent"


class Conversation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, db_constraint=False, related_name="+")
    title = EncryptedTextField(blank=True)  # its first words
    chosen_by = models.CharField(max_length=10, choices=ChosenBy, default=ChosenBy.MODERATOR)
    # Who answers: the agent chosen by hand, else the moderator's last choice. Agents live in the public schema.
    agent = models.ForeignKey("agents.Agent", models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-changed_at", "-pk"]
        indexes = [models.Index(fields=["user", "-changed_at"], name="conversation_newest")]

    def __str__(self) -> str:
        return f"Conversation {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("chat:conversation", args=[self.pk])


class Message(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    author = models.CharField(max_length=10, choices=Author)
    text = EncryptedTextField(blank=True)
    # The tools that were used: [{"name": …, "arguments": …, "result": …, "failed": …}]
    used = EncryptedJSONField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.DONE)
    problem = models.CharField(max_length=30, blank=True)
    agent = models.ForeignKey("agents.Agent", models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    agent_name = models.CharField(max_length=80, blank=True)  # as it was called then
    version = models.ForeignKey("agents.AgentVersion", models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    model = models.CharField(max_length=80, blank=True)
    input_tokens = models.PositiveIntegerField(null=True)  # None: the provider does not say
    output_tokens = models.PositiveIntegerField(null=True)
    first_word_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    claimed_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "position"], name="chat_message_position"),
            # One answer is written at a time: a second question waits until it is there.
            models.UniqueConstraint(fields=["conversation"], condition=Q(state__in=UNFINISHED), name="chat_one_unfinished"),
        ]
        indexes = [models.Index(fields=["created_at"], condition=Q(state__in=UNFINISHED), name="chat_unfinished")]

    def __str__(self) -> str:
        return f"Message {self.position}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def is_from_agent(self) -> bool:
        return self.author == Author.ASSISTANT

    @property
    def explanation(self) -> str:
        """What went wrong, for the person who asked."""
        if self.problem == INTERRUPTED:
            return "We were interrupted while the answer was written. Try again."
        if self.problem == NO_AGENT:
            return "The agent that was asked is not available any more. Choose another one."
        return next((text for code, text in PROBLEMS.items() if code.value == self.problem), "Something went wrong.")
