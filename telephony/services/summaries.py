"""A few sentences about a finished call, written by the configured language model."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from agents.llm.asking import complete_now
from agents.llm.base import ErrorCode, LlmError, ModelRequest, Turn
from agents.llm.metering import charged_to
from agents.llm.registry import is_configured
from telephony.enums import Role, SummaryStatus
from telephony.models import Call
from telephony.services.purposes import purpose_of

PROVIDER = "openai"
DEADLINE_S = 30.0
MAX_CHARACTERS = 24_000
MAX_OUTPUT_TOKENS = 1_000

RETRY_AFTER = timedelta(minutes=15)  # longer than all attempts of one task take together


def summarise_call(*, call_id: str) -> None:
    """Write a call's summary, or why there is none. Safe to repeat. Raises LlmError."""
    call = Call.objects.select_related("line").get(pk=call_id)
    if call.summary_status != SummaryStatus.PENDING:
        return
    said = list(call.messages.all())
    if not any(message.role == Role.USER for message in said):
        return _store(call, SummaryStatus.NOTHING_SAID)
    if not is_configured(PROVIDER) or call.line is None:
        return _store(call, SummaryStatus.NOT_CONFIGURED)
    transcript = "\n".join(f"{message.get_role_display()}: {message.text}" for message in said)
    with charged_to(purpose_of(call)):
        text = _ask_model(call.line.summary_prompt, transcript[-MAX_CHARACTERS:])
    _store(call, SummaryStatus.DONE, text)


def give_up_summary(*, call_id: str) -> None:
    _store(Call.objects.get(pk=call_id), SummaryStatus.FAILED)


def _store(call: Call, status: SummaryStatus, text: str = "") -> None:
    Call.objects.filter(pk=call.pk, summary_status=SummaryStatus.PENDING).update(summary_status=status, summary=text)


def _ask_model(instruction: str, transcript: str) -> str:
    request = ModelRequest(
        model=settings.ENV.summary_model,
        system=instruction,
        turns=(Turn("user", transcript),),
        max_output_tokens=MAX_OUTPUT_TOKENS,
        deadline_s=DEADLINE_S,
    )
    text = complete_now(PROVIDER, request).text.strip()
    if not text:
        raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)
    return text


def claim_overdue(*, now: datetime | None = None) -> list[str]:
    """Return calls whose summary was promised and is late, each to one caller of this function only."""
    now = now or timezone.now()
    late = Q(summary_tried_at=None, ended_at__lt=now - timedelta(minutes=2)) | Q(summary_tried_at__lt=now - RETRY_AFTER)
    waiting = Call.objects.filter(late, summary_status=SummaryStatus.PENDING)
    claimed = []
    for call in waiting[:100]:
        same = Call.objects.filter(pk=call.pk, summary_tried_at=call.summary_tried_at)
        if same.update(summary_tried_at=now):
            claimed.append(str(call.pk))
    return claimed
