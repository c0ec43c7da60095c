"""What happens next with somebody on their way through a sequence: facts in, a decision out. No clock, no database.

When an enrolment is due, in this order:
- they replied to a sequence that ends with an answer, or cannot or do not want to be written to: it stops;
- the step that was next is gone from the sequence, or behind them: the one that follows, with its own wait;
- the e-mail before has not left yet, or left late: wait, so that nobody gets two at once;
- the step's condition does not hold: skip it, or end, as the step says;
- its template cannot be used: wait until it can;
- otherwise it is sent, and the next step's wait begins.

A wait is counted from the step before, whether that was sent or skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from crm.email.enums import EnrolmentState, Otherwise, SkipReason, StepCondition

ASKS_ABOUT_PREVIOUS = (
    StepCondition.OPENED,
    StepCondition.NOT_OPENED,
    StepCondition.CLICKED,
    StepCondition.NOT_CLICKED,
    StepCondition.REPLIED,
    StepCondition.NOT_REPLIED,
)
ASKS_ABOUT_STATUS = (StepCondition.STATUS_IS, StepCondition.STATUS_IS_NOT)
LOOK_AGAIN_AFTER = timedelta(minutes=15)

# Why somebody who is not written to is not, and how their way through the sequence is said to have ended.
_ENDS = {
    SkipReason.UNSUBSCRIBED: EnrolmentState.UNSUBSCRIBED,
    SkipReason.DO_NOT_MAIL: EnrolmentState.UNSUBSCRIBED,
    SkipReason.SPAM: EnrolmentState.UNSUBSCRIBED,
    SkipReason.BOUNCED: EnrolmentState.BLOCKED,
    SkipReason.NO_ADDRESS: EnrolmentState.BLOCKED,
    SkipReason.INVALID_ADDRESS: EnrolmentState.BLOCKED,
    SkipReason.GONE: EnrolmentState.BLOCKED,
}


class What(StrEnum):
    SEND = "send"
    SKIP = "skip"
    WAIT = "wait"
    END = "end"  # the way is over, as it should be
    STOP = "stop"  # it is cut short


@dataclass(frozen=True, slots=True)
class Step:
    id: int
    position: int
    wait_hours: int
    condition: StepCondition = StepCondition.ALWAYS
    status: str = ""
    otherwise: Otherwise = Otherwise.SKIP
    is_removed: bool = False
    can_be_sent: bool = True  # its template is there and switched on

    @property
    def wait(self) -> timedelta:
        return timedelta(hours=self.wait_hours)


@dataclass(frozen=True, slots=True)
class Previous:
    """The last e-mail of this sequence that reached the provider, or is about to."""

    is_waiting: bool  # not handed over yet
    sent_at: datetime | None
    is_opened: bool
    is_clicked: bool
    # Whether it would be known: that nothing was heard is not that nothing happened.
    tells_opens: bool = True
    tells_clicks: bool = True
    tells_replies: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    now: datetime
    due_at: datetime
    steps: Sequence[Step]  # all of them by position, removed ones too
    next_step: int | None
    passed: Collection[int] = field(default=())
    previous: Previous | None = None
    status: str = ""
    status_before: str = ""  # when they were enrolled
    has_replied: bool = False
    stops_on_reply: bool = True
    reason: SkipReason | None = None  # why the contact cannot be written to


@dataclass(frozen=True, slots=True)
class Decision:
    """`step` is what it is about: sent, or skipped when the sequence goes on or ends without it."""

    what: What
    step: int | None = None
    next_step: int | None = None
    due_at: datetime | None = None
    state: EnrolmentState = EnrolmentState.ACTIVE


def decide(facts: Facts) -> Decision:
    if state := end_of(stops=facts.has_replied and facts.stops_on_reply, reason=facts.reason):
        return Decision(What.STOP, state=state)
    step, due_at = _where(facts)
    if step is None:
        return Decision(What.END, state=EnrolmentState.DONE)
    if wait_until := _too_early(facts, step, due_at):
        return Decision(What.WAIT, next_step=step.id, due_at=wait_until)
    if not _holds(step, facts):
        return _skip(facts, step)
    if not step.can_be_sent:
        return Decision(What.WAIT, next_step=step.id, due_at=facts.now + LOOK_AGAIN_AFTER)
    return _go_on(facts, step, What.SEND)


def end_of(*, stops: bool, reason: SkipReason | None) -> EnrolmentState | None:
    """Return how a way through a sequence ends early, or None when it goes on. `stops`: by an answer."""
    if stops:
        return EnrolmentState.REPLIED
    return _ENDS.get(reason) if reason is not None else None


def following(steps: Sequence[Step], position: int, passed: Collection[int]) -> Step | None:
    """Return the first step behind a position that stands and is not behind them."""
    ahead = (step for step in steps if step.position > position and not step.is_removed and step.id not in passed)
    return min(ahead, key=lambda step: step.position, default=None)


def _where(facts: Facts) -> tuple[Step | None, datetime]:
    """Return the step they stand at, and when it is due."""
    current = next((step for step in facts.steps if step.id == facts.next_step), None)
    if current is None:
        return None, facts.due_at
    if not current.is_removed and current.id not in facts.passed:
        return current, facts.due_at
    step = following(facts.steps, current.position, facts.passed)
    began = facts.due_at - current.wait
    return step, began + step.wait if step else facts.due_at


def _too_early(facts: Facts, step: Step, due_at: datetime) -> datetime | None:
    if due_at > facts.now:
        return due_at
    if facts.previous is None:
        return None
    if facts.previous.is_waiting:
        return facts.now + LOOK_AGAIN_AFTER
    if facts.previous.sent_at is not None and facts.previous.sent_at + step.wait > facts.now:
        return facts.previous.sent_at + step.wait
    return None


def _holds(step: Step, facts: Facts) -> bool:
    """Whether a step's condition holds. About an e-mail that never was, or of which nothing is known, none does."""
    if step.condition in ASKS_ABOUT_PREVIOUS:
        return facts.previous is not None and _holds_of(facts.previous, step.condition, facts.has_replied)
    match step.condition:
        case StepCondition.STATUS_CHANGED:
            return bool(facts.status_before) and facts.status != facts.status_before
        case StepCondition.STATUS_IS:
            return facts.status == step.status
        case StepCondition.STATUS_IS_NOT:
            return facts.status != step.status
        case _:
            return True


def _holds_of(previous: Previous, condition: StepCondition, has_replied: bool) -> bool:
    match condition:
        case StepCondition.OPENED:
            return previous.is_opened
        case StepCondition.NOT_OPENED:
            return previous.tells_opens and not previous.is_opened
        case StepCondition.CLICKED:
            return previous.is_clicked
        case StepCondition.NOT_CLICKED:
            return previous.tells_clicks and not previous.is_clicked
        case StepCondition.REPLIED:
            return has_replied
        case _:
            return previous.tells_replies and not has_replied


def _skip(facts: Facts, step: Step) -> Decision:
    if step.otherwise == Otherwise.END:
        return Decision(What.END, step=step.id, state=EnrolmentState.DONE)
    return _go_on(facts, step, What.SKIP)


def _go_on(facts: Facts, step: Step, what: What) -> Decision:
    then = following(facts.steps, step.position, facts.passed)
    if then is None:
        return Decision(what, step=step.id, state=EnrolmentState.DONE)
    return Decision(what, step=step.id, next_step=then.id, due_at=facts.now + then.wait)


def arranged(before: Sequence[int], standing: Sequence[int]) -> list[int]:
    """Return the order of all steps: the standing ones as wanted, each other behind the one it came after."""
    order = list(standing)
    previous: int | None = None
    for step in before:
        if step not in standing:
            order.insert(order.index(previous) + 1 if previous is not None else 0, step)
        previous = step
    return order


@dataclass(frozen=True, slots=True)
class Draft:
    """A step as somebody wants it. `id` is that of a step which stands already."""

    template_id: int
    wait_hours: int
    condition: StepCondition = StepCondition.ALWAYS
    status: str = ""
    otherwise: Otherwise = Otherwise.SKIP
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    step: int  # counted from 0
    field: str
    text: str


def faults_of(drafts: Sequence[Draft], *, templates: Collection[int], statuses: Collection[str]) -> list[Fault]:
    """Return what is wrong with the steps. `templates` and `statuses` are those that may be used."""
    found = []
    for number, draft in enumerate(drafts):
        if number == 0 and draft.condition in ASKS_ABOUT_PREVIOUS:
            found.append(Fault(number, "condition", "There is no e-mail before the first one."))
        elif draft.condition in ASKS_ABOUT_PREVIOUS and draft.wait_hours < 1:
            found.append(Fault(number, "wait", "Give them at least an hour to open, click or answer."))
        if draft.condition in ASKS_ABOUT_STATUS and draft.status not in statuses:
            found.append(Fault(number, "status", "Choose a status."))
        if draft.template_id not in templates:
            found.append(Fault(number, "template", "Choose a template that is switched on."))
    return found
