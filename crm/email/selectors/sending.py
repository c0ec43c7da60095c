"""How e-mail leaves this installation, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crm.email.providers.registry import provider


@dataclass(frozen=True, slots=True)
class Way:
    name: str  # "" when there is none
    reports_events: bool
    inbound_host: str  # "" when answers are not read here
    per_minute: int  # of the whole installation


_NAMES = {"sendgrid": "SendGrid", "smtp": "A mail server (SMTP)"}


def way_of_sending(environment: Any) -> Way:
    chosen = provider()
    host, limit = environment.inbound_email_host, environment.emails_per_minute
    if chosen is None:
        return Way("", False, host, limit)
    chosen.close()
    return Way(_NAMES.get(chosen.name, chosen.name), chosen.reports_events, host, limit)
