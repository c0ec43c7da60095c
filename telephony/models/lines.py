from __future__ import annotations

import zoneinfo
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse

from agents.organisation.models import check_variables
from agents.tools import all_tools
from base.text import to_valid_json
from telephony.enums import EngineName, OverBudget
from telephony.hours import check_hours
from telephony.languages import conflicts, known_languages
from tenants.models import E164


def check_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(f"{value} is not a time zone; write it as in Europe/London.")


class Line(models.Model):
    """How one number answers. The default line is the pattern a new number's line is copied from.

    Every sentence a caller may hear is a field here, so that the organisation can change it.
    """

    name = models.CharField(max_length=80)
    phone_number = models.CharField(max_length=16, blank=True, null=True, unique=True, validators=[E164])
    is_default = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    # The agent: one of the catalogue, which the prompt below tells what this line adds; or the prompt alone. Agents live
    # in the public schema, where deleting one could not see this table.
    agent = models.ForeignKey(
        "agents.Agent", models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="+"
    )
    agent_name = models.CharField(max_length=80)
    prompt = models.TextField(
        blank=True, help_text="What the agent is, knows and should do. With an agent chosen: what this line adds to it."
    )
    variables = models.JSONField(
        default=dict, blank=True, validators=[check_variables], help_text="Names for prompts, on this line alone."
    )
    greeting = models.TextField(blank=True, help_text="Said first. Empty: the caller speaks first.")
    language = models.CharField(max_length=16, help_text="Such as en or de-AT; the carrier's voice uses it too.")
    voice = models.CharField(max_length=80, blank=True, help_text="The provider's voice. Empty: the installation's.")
    engine = models.CharField(max_length=30, choices=EngineName, default=EngineName.VOICE_AGENT)
    listen_model = models.CharField(max_length=80, blank=True, help_text="Empty: the installation's.")
    think_provider = models.CharField(max_length=30, default="open_ai")
    think_model = models.CharField(max_length=80, blank=True, help_text="Empty: the installation's.")
    temperature = models.FloatField(validators=[MinValueValidator(0), MaxValueValidator(2)])
    tools = models.JSONField(default=list, blank=True, help_text="Names of the tools this line's agent may use.")

    # when and how long
    hours = models.JSONField(default=list, blank=True, validators=[check_hours])
    time_zone = models.CharField(max_length=64, validators=[check_time_zone])
    max_call_s = models.PositiveIntegerField("longest call", validators=[MinValueValidator(30), MaxValueValidator(14_000)])
    length_warning_s = models.PositiveIntegerField("warn the agent before the end")
    silence_prompt_s = models.PositiveIntegerField("silence before asking", validators=[MinValueValidator(3)])
    silence_goodbye_s = models.PositiveIntegerField("silence before goodbye", validators=[MinValueValidator(5)])
    max_dead_air_s = models.PositiveIntegerField("longest wait for the agent", validators=[MinValueValidator(2)])

    # what callers hear when the agent itself cannot say it
    silence_prompt_text = models.TextField()
    silence_goodbye_text = models.TextField()
    length_goodbye_text = models.TextField()
    length_warning_note = models.TextField(help_text="Told to the agent, not to the caller.")
    dtmf_note = models.TextField(help_text="Told to the agent; {digits} are the keys pressed.")
    resume_text = models.TextField(help_text="After an interruption of ours.")
    closed_text = models.TextField()
    busy_text = models.TextField()
    unavailable_text = models.TextField()
    carrier_voice = models.CharField(max_length=60, help_text="The carrier's voice for sentences spoken without the agent.")

    # people
    fallback_number = models.CharField(max_length=16, blank=True, validators=[E164])
    announces_transfers = models.BooleanField(
        "announce callers first", default=False, help_text="The person hears what it is about, and takes the call or not."
    )
    briefing_text = models.TextField(help_text="Said to the person. {caller} and {reason} are filled in.")
    briefing_key = models.CharField(
        "key that takes the call", max_length=1, validators=[RegexValidator(r"^[0-9*#]$", "One key: 0 to 9, * or #.")]
    )
    ring_timeout_s = models.PositiveIntegerField(validators=[MinValueValidator(5), MaxValueValidator(600)])
    transfer_failed_text = models.TextField()
    transfer_failed_note = models.TextField(help_text="Told to the agent when the caller comes back to it.")
    return_after_transfer = models.BooleanField(
        default=True, help_text="When nobody takes a transfer, the caller comes back to the agent."
    )
    voicemail = models.BooleanField(default=True, help_text="Take a message when neither agent nor person can.")
    voicemail_text = models.TextField()
    voicemail_max_s = models.PositiveIntegerField(validators=[MinValueValidator(5), MaxValueValidator(600)])

    # money: what happens when the organisation's budget is used up, before a call and during one
    over_budget_action = models.CharField(
        "when the budget is used up", max_length=10, choices=OverBudget, default=OverBudget.MESSAGE
    )
    over_budget_text = models.TextField()
    budget_warning_note = models.TextField(help_text="Told to the agent when a call nears its limit.")
    budget_wind_down_note = models.TextField(help_text="Told to the agent when the limit is reached.")
    budget_wind_down_s = models.PositiveIntegerField(
        "time to come to an end", default=30, validators=[MinValueValidator(5), MaxValueValidator(600)]
    )
    budget_goodbye_text = models.TextField(help_text="Said at once when the time to come to an end is over.")
    premium_from_score = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(100)], help_text="Lead score. Empty: never."
    )
    premium_model = models.CharField(max_length=80, blank=True)
    premium_voice = models.CharField(max_length=80, blank=True)
    economy_below_percent = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(100)], help_text="Of the budget that is left. Empty: never."
    )
    economy_model = models.CharField(max_length=80, blank=True)
    economy_voice = models.CharField(max_length=80, blank=True)

    # recording
    record_calls = models.BooleanField(default=False)
    recording_retention_days = models.PositiveIntegerField(validators=[MinValueValidator(1)])

    # after the call
    creates_leads = models.BooleanField(
        "unknown callers become leads", default=True, help_text="Each new number that calls is a contact afterwards."
    )
    details_by_number = models.BooleanField(
        "a number is proof of who is calling",
        default=False,
        help_text="A caller's number can be forged. Off: the agent tells details of a contact only when the network "
        "vouches for the number, or the caller names another detail. On: the number alone is enough.",
    )
    summary_prompt = models.TextField(help_text="Tells the language model how to summarise a call.")

    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-is_default", "name"]
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=models.Q(is_default=True), name="line_one_default")
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Every text of a line is spoken, read by a model or shown: it is made valid once, whoever wrote it."""
        for field in self._meta.concrete_fields:
            if isinstance(field, models.CharField | models.TextField | models.JSONField):
                setattr(self, field.attname, to_valid_json(getattr(self, field.attname)))
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("telephony:line-detail", args=[self.pk])

    def clean(self) -> None:
        if not isinstance(self.tools, list) or not all(isinstance(name, str) for name in self.tools):
            raise ValidationError({"tools": "Name the tools in a list."})
        if unknown := set(self.tools) - {tool.name for tool in all_tools("call")}:
            raise ValidationError({"tools": f"There is no tool named {', '.join(sorted(unknown))}."})
        self._check_language()
        if self.agent is None and not self.prompt.strip():
            raise ValidationError({"prompt": "Write a prompt, or choose an agent that has one."})
        if self.silence_goodbye_s is not None and self.silence_prompt_s is not None:
            if self.silence_goodbye_s <= self.silence_prompt_s:
                raise ValidationError({"silence_goodbye_s": "The goodbye must come later than the question."})

    def _check_language(self) -> None:
        """A line is heard and spoken in its own language, or it is refused."""
        if self.language not in known_languages():
            raise ValidationError({"language": f"“{self.language}” is no language we know. Write it as in en or de-AT."})
        faults: dict[str, list[str]] = {}
        for field, fault in self.language_conflicts():
            faults.setdefault(field, []).append(fault)
        if faults:
            raise ValidationError(faults)

    def language_conflicts(self) -> list[tuple[str, str]]:
        """Return field and fault of every model and voice of the line that cannot work in its language."""
        env = settings.ENV
        version = self.agent.published if self.agent is not None and self.agent.is_active else None
        agents_voice = version.brief().voice if version is not None else ""
        voices = {"voice": self.voice or agents_voice or env.voice_agent_speaking_model}
        voices |= {name: getattr(self, name) for name in ("carrier_voice", "premium_voice", "economy_voice")}
        return list(conflicts(self.language, listening={"listen_model": self.hears_with}, voices=voices))

    @property
    def hears_with(self) -> str:
        return self.listen_model or settings.ENV.voice_agent_listening_model
