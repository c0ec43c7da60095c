"""Background work: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from agents.knowledge.services import indexing
from tenants.celery import for_each_tenant


@shared_task(name="agents_knowledge.read", acks_late=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]
def read(*, document_id: str) -> None:
    indexing.read_and_store(document_id=document_id)


@shared_task(name="agents_knowledge.add_vectors")  # type: ignore[untyped-decorator]
def add_vectors(*, document_id: str) -> None:
    indexing.go_on_with_vectors(document_id=document_id)


@shared_task(name="agents_knowledge.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    for_each_tenant(lambda tenant: (indexing.resume_silent(), indexing.read_outdated()))


@shared_task(name="agents_knowledge.add_missing_vectors")  # type: ignore[untyped-decorator]
def add_missing_vectors() -> None:
    for_each_tenant(lambda tenant: indexing.add_missing_vectors())
