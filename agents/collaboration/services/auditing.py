"""The row of each collaboration, written as it goes. Safe to repeat, and in any order: an end is an end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from agents.collaboration.enums import Outcome, Stage, Trigger
from agents.collaboration.models import Collaboration
from agents.collaboration.working import Work

LONGEST = timedelta(minutes=10)


def record_begin(
    *, collaboration_id: UUID, call_id: str, trigger: Trigger, question: str, complexity: float | None
) -> None:
    Collaboration.objects.get_or_create(
        pk=collaboration_id,
        defaults={"call_id": call_id, "trigger": trigger, "question": question, "complexity": complexity},
    )


def record_stage(*, collaboration_id: UUID, stage: Stage, consent: str, at: datetime) -> None:
    values: dict[str, Any] = {"stage": stage}
    if stage is Stage.AWAITING_CONSENT:
        values["asked_at"] = at
    if consent:
        values["consent_words"] = consent
    if stage is Stage.COLLABORATING:
        values["consented_at"] = at
    Collaboration.objects.filter(pk=collaboration_id, outcome="").update(**values)


def record_work(*, collaboration_id: UUID, work: Work) -> None:
    """What the specialists did is kept also when the caller had gone by then."""
    usage = work.usage
    Collaboration.objects.filter(pk=collaboration_id).update(
        agents=[one.as_json() for one in work.contributions],
        answer=work.answer,
        worked_ms=work.duration_ms,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
    )


def record_end(*, collaboration_id: UUID, outcome: Outcome, at: datetime) -> None:
    open_ones = Collaboration.objects.filter(pk=collaboration_id, outcome="")
    open_ones.update(outcome=outcome, stage=Stage.COMPLETED, ended_at=at)


def close_abandoned(*, now: datetime | None = None) -> int:
    """End the rows of calls whose worker is gone."""
    now = now or timezone.now()
    abandoned = Collaboration.objects.filter(outcome="", started_at__lt=now - LONGEST)
    return abandoned.update(outcome=Outcome.INTERRUPTED, stage=Stage.COMPLETED, ended_at=now)
