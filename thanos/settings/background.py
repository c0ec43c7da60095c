"""Background work: the broker, which queue a task waits in, and what is done again and again."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

from thanos.env import environment

_redis_url = environment().redis_url
CELERY_BROKER_URL = (
    "redis+socket" + _redis_url.removeprefix("unix").replace("?db=", "?virtual_host=")
    if _redis_url.startswith("unix:")
    else _redis_url
)
# Who queues a task waits no longer than this for one of ten connections; without a limit it would be for ever.
CELERY_BROKER_POOL_LIMIT = 10
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 2.0
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any task or countdown, so nothing is delivered twice while it still runs; the sweep is frequent, so
    # what a killed worker held comes back soon after.
    "visibility_timeout": 3600,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "billing.sweep_*": {"queue": "scheduled"},
    "crm_payments.sweep_*": {"queue": "scheduled"},
    "billing.report_use": {"queue": "bulk"},
    "billing.compare_use": {"queue": "bulk"},
    "billing.compact_tallies": {"queue": "scheduled"},
    "telephony.write_transcripts": {"queue": "transcripts"},
    "telephony.sweep_*": {"queue": "scheduled"},
    "telephony_texting.sweep": {"queue": "scheduled"},
    "telephony_texting.answer": {"queue": "agents"},
    "crm.sweep_*": {"queue": "scheduled"},
    "crm.run_contact_job": {"queue": "bulk"},
    "crm.score_everybody": {"queue": "bulk"},
    "crm.index_custom_field": {"queue": "bulk"},
    "tenants.sweep_*": {"queue": "scheduled"},
    "crm_hooks.sweep_*": {"queue": "scheduled"},
    "crm_hooks.deliver": {"queue": "webhooks"},
    "crm_imports.sweep_*": {"queue": "scheduled"},
    "crm_imports.*": {"queue": "bulk"},
    "crm_email.sweep_*": {"queue": "scheduled"},
    "crm_email.send_*": {"queue": "email"},
    "crm_email.apply_*": {"queue": "default"},
    "crm_email.*": {"queue": "bulk"},
    "agents_chat.sweep": {"queue": "scheduled"},
    "agents_chat.*": {"queue": "agents"},
    "agents_collaboration.sweep": {"queue": "scheduled"},
    "agents_knowledge.sweep": {"queue": "scheduled"},
    "agents_trials.sweep": {"queue": "scheduled"},
    "agents_trials.*": {"queue": "agents"},
    "agents_knowledge.add_*": {"queue": "bulk"},
    "agents_knowledge.*": {"queue": "agents"},
}


def every(seconds: int, task: str, *, expires_s: int | None = None) -> dict[str, dict[str, Any]]:
    """One task's line of the schedule. A run nobody has taken up when the next is due is dropped."""
    return {task: {"task": task, "schedule": float(seconds), "options": {"expires": expires_s or seconds}}}


def nightly(task: str, *, hour: str, minute: str) -> dict[str, dict[str, Any]]:
    return {task: {"task": task, "schedule": crontab(hour=hour, minute=minute), "options": {"expires": 3600}}}


CELERY_BEAT_SCHEDULE = {
    **every(1, "telephony.write_transcripts", expires_s=5),
    **every(10, "telephony.sweep_open_calls", expires_s=30),
    **every(15, "billing.apply_events"),
    **every(20, "crm_payments.sweep_events"),
    **every(60, "billing.report_use"),
    **nightly("billing.compare_use", hour="4", minute="10"),
    **every(60, "billing.sweep_budgets"),
    **every(3600, "billing.sweep_storage"),
    **every(300, "billing.compact_tallies"),
    **every(600, "telephony.sweep_prices"),
    **every(15, "telephony_texting.sweep"),
    **every(60, "telephony.sweep_summaries"),
    **every(20, "crm_hooks.sweep_due"),
    **every(3600, "crm_hooks.sweep_expired"),
    **every(15, "crm_imports.sweep_silent"),
    **every(3600, "crm_imports.sweep_expired"),
    **every(10, "crm_email.sweep_sending"),
    **every(15, "crm_email.sweep_events"),
    **every(20, "crm_email.sweep_sequences"),
    **every(300, "crm_email.sweep_enrolments"),
    **every(30, "crm_email.sweep_domains"),
    **every(3600, "tenants.sweep_idempotency_keys"),
    **every(3600, "telephony.sweep_recordings"),
    **every(10, "agents_chat.sweep"),
    **every(20, "agents_knowledge.sweep"),
    **every(30, "agents_trials.sweep"),
    **every(300, "agents_collaboration.sweep"),
    **every(600, "agents_knowledge.add_missing_vectors"),
    **every(60, "crm.sweep_reminders"),
    **every(30, "crm.sweep_jobs"),
    **nightly("crm.sweep_nightly", hour="2", minute="30"),
}
