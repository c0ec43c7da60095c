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
from telephony.enums import EventKind, Role, SummaryStatus
from telephony.fitting import pieces_of
from telephony.models import Call
from telephony.services.entries import note
from telephony.services.purposes import purpose_of
from telephony.services.sentences import fill, values_of
from tenants.context import current_tenant

PROVIDER = "openai"
DEADLINE_S = 30.0
MAX_CHARACTERS = 24_000
MAX_PIECES = 12  # about five hours of talking
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
    lines = [f"{message.get_role_display()}: {message.text}" for message in said]
    instruction = fill(call.line.summary_prompt, values_of(call.line, current_tenant()))
    with charged_to(purpose_of(call)):
        text = _summarise(call, instruction, lines)
    _store(call, SummaryStatus.DONE, text)


def _summarise(call: Call, instruction: str, lines: list[str]) -> str:
    """Return the summary of a whole call: a long one is summarised in parts first. Raises LlmError.

    Of a call that is longer than any should be, the parts in the middle are left out, and an event says so.
    """
    pieces = pieces_of(lines, MAX_CHARACTERS)
    if len(pieces) == 1:
        return _ask_model(instruction, pieces[0])
    numbers = list(range(1, len(pieces) + 1))
    if len(pieces) > MAX_PIECES:
        numbers = numbers[: MAX_PIECES // 2] + numbers[-MAX_PIECES // 2 :]
        missing = sum(len(piece) for number, piece in enumerate(pieces, start=1) if number not in numbers)
        note(call, EventKind.WARNING, {"code": "SUMMARY_LEFT_OUT", "characters_left_out": missing})
    parts = [(f"[{number}/{len(pieces)}]", pieces[number - 1]) for number in numbers]
    written = [f"{label} " + _ask_model(instruction, f"{label}\n{piece}") for label, piece in parts]
    return _ask_model(instruction, "\n\n".join(written))


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
