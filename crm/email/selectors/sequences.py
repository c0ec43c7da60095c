"""What the pages of sequences show. No writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Case, CharField, Count, Exists, OuterRef, Q, Value, When
from django.http import QueryDict

from crm.email.enums import HANDED_OVER, OPEN_STATES, EnrolmentState, MessageState, Otherwise, SkipReason, StepCondition
from crm.email.models import EmailMessage, Enrolment, SequenceStep, Suppression
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import EnrolJob, LeftOut, Passing, StepPassage
from crm.email.models.setup import email_settings
from crm.email.providers.registry import reports_events
from crm.email.selectors.reports import hears_replies
from crm.email.services.suppressing import SKIPS
from crm.email.steps import ASKS_ABOUT_PREVIOUS
from crm.enums import JobState
from crm.models import Contact, ContactStatus
from crm.selectors.contacts import contacts_for
from tenants.models import Tenant, User

PAGE_SIZE = 40

_CLICKED = Q(clicked_at__isnull=False)
_OPENED = Q(opened_at__isnull=False) | _CLICKED


def _told_of() -> Q:
    """Messages that somebody can tell us about: a plain mail server never says what became of one, and of a provider
    whose key we lack nothing is believed."""
    has_arrived = Q(delivered_at__isnull=False)
    by_provider = Q(batch__isnull=False) & ~Q(batch__provider="smtp")
    return by_provider | has_arrived if settings.ENV.sendgrid_webhook_public_key else has_arrived


def _tells_opens() -> Q:
    return _told_of() & Q(track_opens=True) | _OPENED


def _tells_clicks() -> Q:
    return _told_of() & Q(track_clicks=True) | _CLICKED


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; both None when nothing can be known of it."""

    count: int | None
    of: int

    @property
    def share(self) -> float | None:
        return None if self.count is None or not self.of else self.count / self.of

    @property
    def is_unknown(self) -> bool:
        return self.count is None


@dataclass(frozen=True, slots=True)
class StepFigures:
    waiting: int = 0
    sent: int = 0
    left_out: int = 0
    skipped: int = 0
    opened: Share = Share(0, 0)
    clicked: Share = Share(0, 0)
    replied: Share = Share(0, 0)


@dataclass(frozen=True, slots=True)
class StepView:
    number: int
    step: SequenceStep
    wait: str
    condition: str
    otherwise: str
    figures: StepFigures
    people: int  # who stand at it
    is_stuck: bool  # its template cannot be used

    @property
    def words(self) -> str:
        """The step as one sentence."""
        what = f"send “{self.step.template.name}”"
        if not self.condition:
            return f"{self.wait}: {what}."
        return f"{self.wait}, if {self.condition}: {what}. Otherwise {self.otherwise}."


# --- words -----------------------------------------------------------------------------------------------------------


def wait_words(hours: int, *, is_first: bool) -> str:
    if hours == 0:
        return "At once" if is_first else "Right after that"
    amount, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"After {amount} {unit}{'s' if amount != 1 else ''}"


_CONDITIONS = {
    StepCondition.ALWAYS: "",
    StepCondition.OPENED: "the previous e-mail was opened",
    StepCondition.NOT_OPENED: "the previous e-mail was not opened",
    StepCondition.CLICKED: "a link in the previous e-mail was clicked",
    StepCondition.NOT_CLICKED: "no link in the previous e-mail was clicked",
    StepCondition.REPLIED: "they have answered",
    StepCondition.NOT_REPLIED: "they have not answered",
    StepCondition.STATUS_CHANGED: "the status is not what it was when they were enrolled",
    StepCondition.STATUS_IS: "the status is “{}”",
    StepCondition.STATUS_IS_NOT: "the status is not “{}”",
}
_OTHERWISE = {Otherwise.SKIP: "go on with the next step", Otherwise.END: "the sequence ends"}


def condition_words(step: SequenceStep, statuses: Mapping[str, str]) -> str:
    return _CONDITIONS[StepCondition(step.condition)].format(statuses.get(step.status, step.status))


def status_labels() -> dict[str, str]:
    return dict(ContactStatus.objects.values_list("key", "label"))


# --- one sequence ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SequenceView:
    sequence: EmailSequence
    steps: list[StepView]
    counts: dict[EnrolmentState, int]
    replied: Share
    warnings: list[str]
    jobs: list[EnrolJob]

    @property
    def enrolled(self) -> int:
        return sum(self.counts.values())

    @property
    def running(self) -> int:
        return self.counts[EnrolmentState.ACTIVE]

    @property
    def state_counts(self) -> list[tuple[EnrolmentState, int]]:
        return [(state, count) for state, count in self.counts.items() if count]


def sequence_view(sequence: EmailSequence) -> SequenceView:
    counts = dict(sequence.enrolments.order_by().values_list("state").annotate(count=Count("pk")))
    steps = _step_views(sequence)
    jobs = EnrolJob.objects.filter(sequence=sequence, state__in=(JobState.QUEUED, JobState.RUNNING))
    return SequenceView(
        sequence=sequence,
        steps=steps,
        counts={state: counts.get(state.value, 0) for state in EnrolmentState},
        replied=_replied([sequence.pk])[sequence.pk],
        warnings=_warnings(sequence, steps),
        jobs=list(jobs),
    )


def _step_views(sequence: EmailSequence) -> list[StepView]:
    rows = list(SequenceStep.objects.standing().filter(sequence=sequence).select_related("template").order_by("position"))
    statuses, figures = status_labels(), step_figures([row.pk for row in rows])
    running = Enrolment.objects.filter(sequence=sequence, state=EnrolmentState.ACTIVE).order_by()
    people = dict(running.values_list("next_step").annotate(count=Count("pk")))
    return [
        StepView(
            number=number,
            step=row,
            wait=wait_words(row.wait_hours, is_first=number == 1),
            condition=condition_words(row, statuses),
            otherwise=_OTHERWISE[Otherwise(row.otherwise)],
            figures=figures[row.pk],
            people=people.get(row.pk, 0),
            is_stuck=not row.template.is_active or row.template.deleted_at is not None,
        )
        for number, row in enumerate(rows, start=1)
    ]


def _warnings(sequence: EmailSequence, steps: Sequence[StepView]) -> list[str]:
    chosen = email_settings()
    asked = {StepCondition(view.step.condition) for view in steps}
    found = [
        f"The template of step {view.number} is switched off: people wait there until it is switched on again."
        for view in steps
        if view.is_stuck
    ]
    if asked & {StepCondition.OPENED, StepCondition.NOT_OPENED} and not chosen.track_opens:
        found.append("A step asks whether an e-mail was opened, and opens are not noticed (e-mail settings).")
    if asked & {StepCondition.CLICKED, StepCondition.NOT_CLICKED} and not chosen.track_clicks:
        found.append("A step asks whether a link was clicked, and clicks are not noticed (e-mail settings).")
    if asked & set(ASKS_ABOUT_PREVIOUS) and reports_events() is False:
        found.append(
            "Nothing tells here of opens and clicks (see how e-mail is sent, in its settings): no such condition holds."
        )
    return found


def step_figures(step_ids: Sequence[int]) -> dict[int, StepFigures]:
    """Return by step what became of its messages, for however many steps in three queries."""
    gone = Q(state__in=HANDED_OVER)
    rows = (
        EmailMessage.objects.filter(step__in=step_ids)
        .order_by()
        .values("step")
        .annotate(
            waiting=Count("pk", filter=Q(state__in=OPEN_STATES)),
            sent=Count("pk", filter=gone),
            left_out=Count("pk", filter=Q(state__in=(MessageState.SKIPPED, MessageState.FAILED, MessageState.CANCELED))),
            tells_opens=Count("pk", filter=gone & _tells_opens()),
            tells_clicks=Count("pk", filter=gone & _tells_clicks()),
            opened=Count("pk", filter=gone & _OPENED),
            clicked=Count("pk", filter=gone & _CLICKED),
            replied=Count("pk", filter=gone & Q(replied_at__isnull=False)),
        )
    )
    skipped = StepPassage.objects.filter(step__in=step_ids, outcome=Passing.SKIPPED).order_by()
    skips = dict(skipped.values_list("step").annotate(count=Count("pk")))
    found = {row["step"]: row for row in rows}
    return {pk: _figures(found.get(pk), skips.get(pk, 0)) for pk in step_ids}


def _figures(row: Mapping[str, int] | None, skipped: int) -> StepFigures:
    if row is None:
        return StepFigures(skipped=skipped)
    knows_opens = row["tells_opens"] > 0 or row["sent"] == 0
    knows_clicks = row["tells_clicks"] > 0 or row["sent"] == 0
    knows_replies = hears_replies() or row["replied"] > 0
    return StepFigures(
        waiting=row["waiting"],
        sent=row["sent"],
        left_out=row["left_out"],
        skipped=skipped,
        opened=Share(row["opened"] if knows_opens else None, row["tells_opens"]),
        clicked=Share(row["clicked"] if knows_clicks else None, row["tells_clicks"]),
        replied=Share(row["replied"] if knows_replies else None, row["sent"]),
    )


def _replied(sequence_ids: Sequence[int]) -> dict[int, Share]:
    """Return by sequence how many of those it has written to have answered."""
    handed_over = EmailMessage.objects.filter(enrolment=OuterRef("pk"), state__in=HANDED_OVER)
    answered = EmailMessage.objects.filter(enrolment=OuterRef("pk"), replied_at__isnull=False)
    rows = (
        Enrolment.objects.filter(Exists(handed_over), sequence__in=sequence_ids)
        .order_by()
        .values("sequence")
        .annotate(written=Count("pk"), replied=Count("pk", filter=Q(state=EnrolmentState.REPLIED) | Q(Exists(answered))))
    )
    found = {row["sequence"]: row for row in rows}
    shares = {}
    for pk in sequence_ids:
        written, replied = (found[pk]["written"], found[pk]["replied"]) if pk in found else (0, 0)
        shares[pk] = Share(replied if replied or hears_replies() else None, written)
    return shares


# --- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SequenceRow:
    sequence: EmailSequence
    steps: list[StepFigures]
    enrolled: int
    running: int
    replied: Share

    @property
    def sent(self) -> int:
        return sum(step.sent for step in self.steps)


def sequence_rows() -> list[SequenceRow]:
    """All sequences, those that run first, in as many queries for many as for one."""
    sequences = list(EmailSequence.objects.kept().order_by("-is_active", "name", "pk"))
    ids = [sequence.pk for sequence in sequences]
    steps = defaultdict(list)
    for pk, sequence in SequenceStep.objects.standing().filter(sequence__in=ids).values_list("pk", "sequence_id"):
        steps[sequence].append(pk)
    figures = step_figures([pk for several in steps.values() for pk in several])
    running = Count("pk", filter=Q(state=EnrolmentState.ACTIVE))
    enrolled = Enrolment.objects.filter(sequence__in=ids).order_by().values_list("sequence")
    counts = {pk: (n, active) for pk, n, active in enrolled.annotate(n=Count("pk"), active=running)}
    replied = _replied(ids)
    return [
        SequenceRow(
            sequence=sequence,
            steps=[figures[pk] for pk in steps[sequence.pk]],
            enrolled=counts.get(sequence.pk, (0, 0))[0],
            running=counts.get(sequence.pk, (0, 0))[1],
            replied=replied[sequence.pk],
        )
        for sequence in sequences
    ]


# --- who is in it ----------------------------------------------------------------------------------------------------


def enrolment_page(sequence: EmailSequence, *, state: str = "", page: str | None = None) -> Page[Enrolment]:
    """Newest first; a state that does not exist filters nothing."""
    rows = Enrolment.objects.filter(sequence=sequence).select_related("contact", "next_step").order_by("-pk")
    rows = rows.defer("contact__notes", "contact__search", "contact__address")
    if state in EnrolmentState.values:
        rows = rows.filter(state=state)
    return Paginator(rows, PAGE_SIZE).get_page(page)  # type: ignore[no-any-return]


def enrolments_of(contact: Contact) -> list[Enrolment]:
    rows = Enrolment.objects.filter(contact=contact, sequence__deleted_at=None).select_related("sequence", "next_step")
    return list(rows.order_by("-pk")[:100])


def left_out_of(job: EnrolJob) -> list[tuple[SkipReason, int]]:
    rows = LeftOut.objects.filter(job=job).order_by("reason").values_list("reason").annotate(count=Count("pk"))
    return [(SkipReason(reason), count) for reason, count in rows]


def left_out_page(job: EnrolJob, *, reason: str = "", page: str | None = None) -> Page[LeftOut]:
    rows = LeftOut.objects.filter(job=job).select_related("contact").order_by("pk")
    if reason in SkipReason.values:
        rows = rows.filter(reason=reason)
    return Paginator(rows, PAGE_SIZE).get_page(page)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class EnrolPreview:
    total: int
    new: int
    known: int
    left_out: list[tuple[SkipReason, int]]

    @property
    def left_out_total(self) -> int:
        return sum(count for _, count in self.left_out)


_KNOWN = "known"


def enrol_preview(sequence: EmailSequence, query: str, *, tenant: Tenant, user: User) -> EnrolPreview:
    """Return what enrolling everything a list shows would come to, counted by the database. Raises FilterError.

    Whether an address is well formed cannot be seen there, for it is encrypted: such are found while enrolling.
    """
    contacts: Any = contacts_for(QueryDict(query), tenant=tenant, user=user, strict=True)
    counted = contacts.annotate(why=_why(sequence)).order_by().values("why")
    rows = {row["why"]: row for row in counted.annotate(n=Count("pk"), inboxes=Count("email_index", distinct=True))}
    fine = rows.pop("", {"n": 0, "inboxes": 0})
    known = rows.pop(_KNOWN, {"n": 0})["n"]
    counts = {SkipReason(why): row["n"] for why, row in rows.items()}
    if twice := fine["n"] - fine["inboxes"]:
        counts[SkipReason.SAME_ADDRESS] = counts.get(SkipReason.SAME_ADDRESS, 0) + twice
    total = fine["n"] + known + sum(row["n"] for row in rows.values())
    return EnrolPreview(total, fine["inboxes"], known, sorted(counts.items()))


def _why(sequence: EmailSequence) -> Case:
    enrolled = Enrolment.objects.filter(sequence=sequence)
    suppressed = Suppression.objects.standing().filter(email_index=OuterRef("email_index"))
    return Case(
        When(Exists(enrolled.filter(contact=OuterRef("pk"))), then=Value(_KNOWN)),
        When(email_index="", then=Value(SkipReason.NO_ADDRESS)),
        When(do_not_mail_at__isnull=False, then=Value(SkipReason.DO_NOT_MAIL)),
        *(When(Exists(suppressed.filter(reason=reason)), then=Value(skip)) for reason, skip in SKIPS.items()),
        When(Exists(enrolled.filter(contact__email_index=OuterRef("email_index"))), then=Value(SkipReason.SAME_ADDRESS)),
        default=Value(""),
        output_field=CharField(),
    )
