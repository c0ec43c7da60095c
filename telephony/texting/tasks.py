"""Background work: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from telephony.texting.services import answering, conversations, sending
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.models import Tenant


@shared_task(name="telephony_texting.send")  # type: ignore[untyped-decorator]
def send(*, message_id: int) -> None:
    sending.deliver(message_id=message_id, retry_busy=True)


@shared_task(name="telephony_texting.answer")  # type: ignore[untyped-decorator]
def answer(*, message_id: int) -> None:
    answering.answer_text(message_id=message_id)


@shared_task(name="telephony_texting.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    """What was lost on the way: messages that wait, that nobody answered, or that are on no timeline yet."""

    def look(tenant: Tenant) -> None:
        headers = {HEADER: tenant.schema_name}
        for message_id in sending.stranded_texts():
            publish(send, message_id=message_id, headers=headers)
        for message_id in answering.unanswered_texts():
            publish(answer, message_id=message_id, headers=headers)
        for message_id in conversations.unlogged_texts():
            conversations.try_to_log(message_id)

    for_each_tenant(look)
