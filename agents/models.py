"""The catalogue of agents, in the public schema. What an agent is stands in its versions, of which one is published."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from agents.briefs import ALL_TOOLS, Brief
from agents.enums import VersionState


class AgentQuerySet(models.QuerySet["Agent"]):
    def in_use(self) -> AgentQuerySet:
        return self.filter(is_active=True, published__isnull=False)

    def reachable_by(self, tenant: Any) -> AgentQuerySet:
        """Another organisation's own agents are out of reach, whatever stands in `owner_domains`."""
        return self.filter(models.Q(owner=None) | models.Q(owner=tenant))


class Agent(models.Model):
    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=80)
    specialty = models.CharField(max_length=120, help_text="What it is good at, in a few words.")
    description = models.TextField(blank=True, help_text="For people who choose an agent, and for the moderator who does.")
    # [] is everybody; names are these organisations alone; agents/availability.py has the whole rule.
    owner_domains = models.JSONField(null=True, blank=True, default=list)
    # Whose own it is: that organisation changes it, and nobody else sees it. None: the installation's staff.
    owner = models.ForeignKey("tenants.Tenant", models.CASCADE, null=True, blank=True, related_name="agents")
    telephony_only = models.BooleanField(default=False, help_text="Not offered in chat.")
    is_moderator = models.BooleanField(default=False, help_text="Judges requests and picks specialists; talks to nobody.")
    is_active = models.BooleanField(default=True)
    published = models.OneToOneField("agents.AgentVersion", models.SET_NULL, null=True, editable=False, related_name="+")
    draft_share = models.PositiveSmallIntegerField(
        "share of calls on the draft, %", default=0, validators=[MaxValueValidator(100)]
    )
    # What the catalogue's file last wrote here: whatever differs from it was changed by somebody, and stays.
    synced = models.JSONField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["-is_moderator", "name", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("agents:agent-detail", args=[self.slug])

    @property
    def draft(self) -> AgentVersion | None:
        return self.versions.filter(state=VersionState.DRAFT).first()


def check_tools(value: Any) -> None:
    if value != ALL_TOOLS and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValidationError('Name the tools in a list, or write "all".')


class AgentVersion(models.Model):
    """What an agent was at one time. A draft changes; a version that was published never does again."""

    agent = models.ForeignKey(Agent, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState, default=VersionState.DRAFT)
    prompt = models.TextField(help_text="What it is, knows and should do. {organisation} and other names are filled in.")
    provider = models.CharField(max_length=30, blank=True, help_text="Empty: the installation's.")
    model = models.CharField(max_length=80, blank=True, help_text="Empty: the installation's.")
    temperature = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(2)])
    voice = models.CharField(max_length=80, blank=True, help_text="Empty: the line's.")
    tools = models.JSONField(default=list, blank=True, validators=[check_tools])
    note = models.CharField(max_length=200, blank=True, help_text="What changed, and why.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["agent", "number"], name="agent_version_number"),
            models.UniqueConstraint(fields=["agent"], condition=models.Q(state="draft"), name="agent_one_draft"),
            models.UniqueConstraint(fields=["agent"], condition=models.Q(state="published"), name="agent_one_published"),
        ]

    def __str__(self) -> str:
        return f"{self.agent}, version {self.number}"

    @property
    def is_draft(self) -> bool:
        return self.state == VersionState.DRAFT

    def brief(self) -> Brief:
        agent = self.agent
        return Brief(
            slug=agent.slug,
            name=agent.name,
            specialty=agent.specialty,
            description=agent.description,
            owner_domains=agent.owner_domains,
            telephony_only=agent.telephony_only,
            is_moderator=agent.is_moderator,
            prompt=self.prompt,
            provider=self.provider,
            model=self.model,
            temperature=self.temperature,
            voice=self.voice,
            tools=None if self.tools == ALL_TOOLS else tuple(self.tools),
            version_id=self.pk,
            version_number=self.number,
        )
