"""What was lifted here, lifted at the provider too."""

from __future__ import annotations

from celery import shared_task

from crm.email.providers.suppression_api import SuppressionApiError
from crm.email.services import suppressing


@shared_task(  # type: ignore[untyped-decorator]
    name="crm_email.lift_at_provider",
    autoretry_for=(SuppressionApiError,),
    retry_backoff=5,
    retry_backoff_max=1800,
    max_retries=8,
)
def lift_at_provider(*, suppression_id: int) -> None:
    """One that is never carried out shows: the next message to the address is dropped, and it is suppressed again."""
    suppressing.lift_at_provider(suppression_id=suppression_id)
