from __future__ import annotations

from typing import Any

from agents.collaboration.rules import Rules


def make_rules(**changes: Any) -> Rules:
    values: dict[str, Any] = {
        "offers_by_complexity": True,
        "complexity_threshold": 0.7,
        "consent_text": "May I ask a specialist? It takes {seconds} seconds.",
        "consent_s": 10.0,
        "work_s": 30.0,
        "waiting_s": 9.0,
        "max_specialists": 3,
        "waiting_texts": ("One moment.", "Nearly there."),
        "declined_text": "Then let us go on.",
        "failed_text": "Nobody could help.",
        "paused_note": "Wait.",
        "result_note": "They say: {answer}",
        "resume_text": "(My question was: {question})",
        "ask_phrases": ("expert agent", "speak to a specialist", "jemand der sich auskennt"),
        "yes_phrases": ("yes", "yes please", "sure", "go ahead", "ja"),
        "no_phrases": ("no", "no thanks", "never mind", "not sure", "nein"),
    }
    return Rules(**{**values, **changes})
