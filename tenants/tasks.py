from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from tenants import idempotency
from tenants.models import SpentToken


@shared_task(name="tenants.sweep_idempotency_keys")  # type: ignore[untyped-decorator]
def sweep_idempotency_keys() -> None:
    idempotency.forget_old_keys(timezone.now())
    SpentToken.objects.filter(expires_at__lt=timezone.now()).delete()
