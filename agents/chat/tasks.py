"""Background work: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from agents.chat.services import answering, conversations
from tenants.celery import for_each_tenant


@shared_task(name="agents_chat.answer")  # type: ignore[untyped-decorator]
def answer(*, message_id: str) -> None:
    answering.write_answer(message_id=message_id)


@shared_task(name="agents_chat.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    for_each_tenant(lambda tenant: conversations.resume_unfinished())
