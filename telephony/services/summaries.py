"""A few sentences about a finished call, written by the configured language model."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from telephony.enums import Role, SummaryStatus
from telephony.models import Call

TIMEOUT_S = 30.0
MAX_CHARACTERS = 24_000


RETRY_AFTER = timedelta(minutes=15)  # longer than all attempts of one task take together


class SummaryError(Exception):
    """The model did not write one. `retryable`: the same request may succeed later."""

    def __init__(self, why: str, *, retryable: bool) -> None:
        super().__init__(why)
        self.retryable = retryable


def is_configured() -> bool:
    return bool(settings.ENV.openai_api_key or settings.ENV.openai_base_url)


def summarise_call(*, call_id: str) -> None:
    """Write a call's summary, or why there is none. Safe to repeat. Raises SummaryError when it is worth a retry."""
    call = Call.objects.select_related("line").get(pk=call_id)
    if call.summary_status != SummaryStatus.PENDING:
        return
    said = list(call.messages.all())
    if not any(message.role == Role.USER for message in said):
        return _store(call, SummaryStatus.NOTHING_SAID)
    if not is_configured() or call.line is None:
        return _store(call, SummaryStatus.NOT_CONFIGURED)
    transcript = "\n".join(f"{message.get_role_display()}: {message.text}" for message in said)
    _store(call, SummaryStatus.DONE, _ask_model(call.line.summary_prompt, transcript[-MAX_CHARACTERS:]))


def give_up_summary(*, call_id: str) -> None:
    _store(Call.objects.get(pk=call_id), SummaryStatus.FAILED)


def _store(call: Call, status: SummaryStatus, text: str = "") -> None:
    Call.objects.filter(pk=call.pk, summary_status=SummaryStatus.PENDING).update(summary_status=status, summary=text)


def _ask_model(instruction: str, transcript: str) -> str:
    import openai  # 0.8 s to import: only in the worker that needs it

    env = settings.ENV
    client = openai.OpenAI(
        api_key=env.openai_api_key or "unused",  # local servers ask for none, the client insists on one
        base_url=env.openai_base_url or None,
        timeout=TIMEOUT_S,
        max_retries=0,
    )
    try:
        answer = client.chat.completions.create(
            model=env.summary_model,
            messages=[{"role": "system", "content": instruction}, {"role": "user", "content": transcript}],
        )
    except openai.OpenAIError as error:  # its text may quote the transcript
        passing = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
        raise SummaryError(type(error).__name__, retryable=isinstance(error, passing)) from None
    text = (answer.choices[0].message.content or "").strip()
    if not text:
        raise SummaryError("empty answer", retryable=True)
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
