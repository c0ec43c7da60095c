from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from agents.organisation.models import agent_settings
from tenants.signals import tenant_created


@receiver(tenant_created)
def prepare(**_: Any) -> None:
    agent_settings()
