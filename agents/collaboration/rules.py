"""An organisation's sentences, phrases and limits, read once for a call."""

from __future__ import annotations

from dataclasses import dataclass

from agents.organisation.models import AgentSettings


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds."""

    offers_by_complexity: bool
    complexity_threshold: float
    consent_text: str
    consent_s: float
    work_s: float
    waiting_s: float
    max_specialists: int
    waiting_texts: tuple[str, ...]
    declined_text: str
    failed_text: str
    paused_note: str
    result_note: str
    resume_text: str
    ask_phrases: tuple[str, ...]
    yes_phrases: tuple[str, ...]
    no_phrases: tuple[str, ...]


def rules_from(settings: AgentSettings, *, may_rate: bool) -> Rules:
    """`may_rate`: somebody is there to judge how hard a question is."""
    return Rules(
        offers_by_complexity=settings.offer_by_complexity and may_rate,
        complexity_threshold=settings.complexity_threshold,
        consent_text=settings.consent_text,
        consent_s=settings.consent_seconds,
        work_s=settings.work_seconds,
        waiting_s=settings.waiting_seconds,
        max_specialists=settings.max_specialists,
        waiting_texts=tuple(settings.waiting_texts),
        declined_text=settings.declined_text,
        failed_text=settings.failed_text,
        paused_note=settings.paused_note,
        result_note=settings.result_note,
        resume_text=settings.resume_text,
        ask_phrases=tuple(settings.ask_phrases),
        yes_phrases=tuple(settings.yes_phrases),
        no_phrases=tuple(settings.no_phrases),
    )
