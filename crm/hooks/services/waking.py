"""Getting a worker to look at a receiver's deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from tenants.celery import HEADER, publish
from tenants.context import current_schema


def wake_after_commit(endpoint_ids: Iterable[UUID]) -> None:
    """Queue a task for each receiver once the change is committed. If the broker is away, the sweep finds them."""
    headers = {HEADER: current_schema()}  # the commit may happen after the tenant has been left
    ids = [str(pk) for pk in endpoint_ids]

    def wake() -> None:
        from crm.hooks.tasks import deliver  # the task's module imports the services

        for endpoint_id in ids:
            publish(deliver, endpoint_id=endpoint_id, headers=headers)

    transaction.on_commit(wake)
