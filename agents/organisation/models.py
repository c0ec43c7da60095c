from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

_DEFAULTS = Path(__file__).resolve().parent / "data" / "defaults.json"
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
MAX_VARIABLES = 100


def check_variables(value: Any) -> None:
    """Names as they stand in braces, each with its text."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValidationError("Write one name and its value a line, such as price_list: from 40 euros.")
    if wrong := [name for name in value if not _NAME.match(name)]:
        raise ValidationError(f"“{wrong[0]}” is no name: small letters, digits and underscores, such as price_list.")
    if len(value) > MAX_VARIABLES:
        raise ValidationError(f"No more than {MAX_VARIABLES} names.")


def check_phrases(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ValidationError("Write one phrase a line.")


class AgentSettings(models.Model):
    """One row for each tenant; made with the tenant, from data/defaults.json."""

    variables = models.JSONField(default=dict, blank=True, validators=[check_variables])

    # knowledge
    nothing_found_text = models.TextField(help_text="What an agent says when nothing was found.")

    # specialists who join: agents/collaboration
    specialists_join = models.BooleanField("specialists may join calls", default=True)
    offer_by_complexity = models.BooleanField(
        "offer a specialist for hard questions", default=True, help_text="As well as when the caller asks for one."
    )
    complexity_threshold = models.FloatField(validators=[MinValueValidator(0), MaxValueValidator(1)])
    consent_text = models.TextField(help_text="Asked before a specialist joins. {seconds} is filled in.")
    consent_seconds = models.PositiveSmallIntegerField(
        "time to say yes", validators=[MinValueValidator(3), MaxValueValidator(60)], help_text="No answer by then means no."
    )
    work_seconds = models.PositiveSmallIntegerField(
        "time for specialists", validators=[MinValueValidator(5), MaxValueValidator(120)]
    )
    waiting_seconds = models.PositiveSmallIntegerField(
        "say something every", validators=[MinValueValidator(3), MaxValueValidator(60)]
    )
    max_specialists = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(3)])
    waiting_texts = models.JSONField(validators=[check_phrases], help_text="Said in turn while specialists work.")
    declined_text = models.TextField(help_text="Said after a no.")
    failed_text = models.TextField(help_text="Said when no specialist could help.")
    paused_note = models.TextField(help_text="Told to the agent while specialists work.")
    result_note = models.TextField(help_text="Told to the agent with what they found. {answer} is filled in.")
    resume_text = models.TextField(
        help_text="Given to the agent as the next turn, so that it speaks. {question} is filled in."
    )
    ask_phrases = models.JSONField(validators=[check_phrases], help_text="How callers ask for a specialist; any language.")
    yes_phrases = models.JSONField(validators=[check_phrases])
    no_phrases = models.JSONField(validators=[check_phrases])

    # who is calling: agents/proving
    proof_text = models.TextField(
        help_text="Said when a caller asks for details of theirs and their number alone does not prove who they are."
    )
    no_proof_text = models.TextField(help_text="Said when nothing on file could prove it.")

    # messages
    message_subject = models.CharField(max_length=120, help_text="Of a message taken in a call. {name} is filled in.")

    class Meta:
        verbose_name_plural = "agent settings"

    def __str__(self) -> str:
        return "Agent settings"


def agent_settings() -> AgentSettings:
    """Return the entered tenant's row, made from the defaults when there is none yet."""
    found = AgentSettings._default_manager.order_by("pk").first()
    return found or AgentSettings._default_manager.create(**json.loads(_DEFAULTS.read_text()))
