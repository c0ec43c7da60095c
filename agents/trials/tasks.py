from __future__ import annotations

from celery import shared_task

from agents.trials.services import scenarios
from tenants.celery import for_each_tenant


@shared_task(name="agents_trials.run")  # type: ignore[untyped-decorator]
def run(*, trial_id: str) -> None:
    scenarios.run_trial(trial_id=trial_id)


@shared_task(name="agents_trials.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    for_each_tenant(lambda tenant: scenarios.end_abandoned())
