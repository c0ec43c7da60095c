"""Who has left a sequence before its end, and what is therefore not sent any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from crm.email.enums import EnrolmentState
from crm.email.models import EmailMessage, Enrolment, InboundEmail

CUT_SHORT = (EnrolmentState.REPLIED, EnrolmentState.UNSUBSCRIBED, EnrolmentState.STOPPED, EnrolmentState.BLOCKED)


def replied_among(rows: Iterable[Enrolment]) -> set[int]:
    """Return those who wrote back since they were enrolled, to whichever message: a person is talking with them."""
    answers = EmailMessage.objects.filter(contact=OuterRef("contact"), replied_at__gte=OuterRef("enrolled_at"))
    to_this = EmailMessage.objects.filter(enrolment=OuterRef("pk"), replied_at__isnull=False)
    letters = InboundEmail.objects.filter(
        contact=OuterRef("contact"), is_automatic=False, received_at__gte=OuterRef("enrolled_at")
    )
    found = Enrolment.objects.filter(pk__in=[row.pk for row in rows])
    return set(found.filter(Exists(answers) | Exists(to_this) | Exists(letters)).values_list("pk", flat=True))


def left_among(message_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of these messages whose recipients have left, or whose sequence is gone."""
    ours = EmailMessage.objects.filter(pk__in=message_ids)
    cut_short = Q(enrolment__state__in=CUT_SHORT) | Q(enrolment__sequence__deleted_at__isnull=False)
    # The last message of a way that is over: an answer stops it as well.
    over = Enrolment.objects.filter(messages__in=message_ids, state=EnrolmentState.DONE, sequence__stop_on_reply=True)
    replied = replied_among(over)
    return set(ours.filter(cut_short | Q(enrolment__in=replied)).values_list("pk", flat=True))


def resting_among(message_ids: Sequence[UUID]) -> set[UUID]:
    ours = EmailMessage.objects.filter(pk__in=message_ids, enrolment__sequence__is_active=False)
    return set(ours.values_list("pk", flat=True))
