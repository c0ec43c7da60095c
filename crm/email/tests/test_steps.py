"""The table of what happens next, and what steps may look like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.email.enums import EnrolmentState, Otherwise, SkipReason, StepCondition
from crm.email.steps import (
    LOOK_AGAIN_AFTER,
    Decision,
    Draft,
    Facts,
    Fault,
    Previous,
    Step,
    What,
    arranged,
    decide,
    faults_of,
    following,
)

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DONE = EnrolmentState.DONE

# a: at once · b: a day later · c: two days after that
A, B, C = Step(1, 10, 0), Step(2, 20, 24), Step(3, 30, 48)
SENT = Previous(is_waiting=False, sent_at=NOW - 2 * DAY, is_opened=False, is_clicked=False)
OPENED, CLICKED = replace(SENT, is_opened=True), replace(SENT, is_opened=True, is_clicked=True)


def facts(*, steps=(A, B, C), next_step=2, passed=(1,), previous=SENT, **others) -> Facts:
    return Facts(
        now=NOW,
        due_at=others.pop("due_at", NOW),
        steps=steps,
        next_step=next_step,
        passed=passed,
        previous=previous,
        **others,
    )


SEND_B = Decision(What.SEND, step=2, next_step=3, due_at=NOW + 2 * DAY)
SKIP_B = Decision(What.SKIP, step=2, next_step=3, due_at=NOW + 2 * DAY)


@pytest.mark.parametrize(
    ("condition", "previous", "goes"),
    [
        (StepCondition.ALWAYS, None, True),
        (StepCondition.ALWAYS, SENT, True),
        (StepCondition.OPENED, OPENED, True),
        (StepCondition.OPENED, SENT, False),
        (StepCondition.OPENED, None, False),
        (StepCondition.NOT_OPENED, SENT, True),
        (StepCondition.NOT_OPENED, OPENED, False),
        (StepCondition.NOT_OPENED, None, False),
        (StepCondition.CLICKED, CLICKED, True),
        (StepCondition.CLICKED, OPENED, False),
        (StepCondition.CLICKED, None, False),
        (StepCondition.NOT_CLICKED, OPENED, True),
        (StepCondition.NOT_CLICKED, CLICKED, False),
        (StepCondition.NOT_CLICKED, None, False),
        # That nothing was heard is not that nothing happened.
        (StepCondition.NOT_OPENED, replace(SENT, tells_opens=False), False),
        (StepCondition.NOT_CLICKED, replace(SENT, tells_clicks=False), False),
        (StepCondition.NOT_REPLIED, replace(SENT, tells_replies=False), False),
        (StepCondition.NOT_REPLIED, SENT, True),
        (StepCondition.NOT_REPLIED, None, False),
        (StepCondition.REPLIED, SENT, False),
    ],
)
def test_a_condition_about_the_previous_e_mail(condition, previous, goes):
    b = replace(B, condition=condition)

    assert decide(facts(steps=(A, b, C), previous=previous)) == (SEND_B if goes else SKIP_B)
    ends = replace(b, otherwise=Otherwise.END)
    over = Decision(What.END, step=2, state=DONE)
    assert decide(facts(steps=(A, ends, C), previous=previous)) == (SEND_B if goes else over)


@pytest.mark.parametrize(
    ("condition", "status", "goes"),
    [
        (StepCondition.STATUS_IS, "customer", True),
        (StepCondition.STATUS_IS, "lead", False),
        (StepCondition.STATUS_IS_NOT, "customer", False),
        (StepCondition.STATUS_IS_NOT, "lead", True),
    ],
)
def test_a_condition_about_the_status(condition, status, goes):
    b = replace(B, condition=condition, status="customer")

    assert decide(facts(steps=(A, b, C), status=status)) == (SEND_B if goes else SKIP_B)


@pytest.mark.parametrize(
    ("replied", "reason", "state"),
    [
        (True, None, EnrolmentState.REPLIED),
        (True, SkipReason.UNSUBSCRIBED, EnrolmentState.REPLIED),
        (False, SkipReason.UNSUBSCRIBED, EnrolmentState.UNSUBSCRIBED),
        (False, SkipReason.DO_NOT_MAIL, EnrolmentState.UNSUBSCRIBED),
        (False, SkipReason.SPAM, EnrolmentState.UNSUBSCRIBED),
        (False, SkipReason.BOUNCED, EnrolmentState.BLOCKED),
        (False, SkipReason.NO_ADDRESS, EnrolmentState.BLOCKED),
        (False, SkipReason.INVALID_ADDRESS, EnrolmentState.BLOCKED),
        (False, SkipReason.GONE, EnrolmentState.BLOCKED),
    ],
)
def test_a_reply_and_a_wish_stop_before_anything_else(replied, reason, state):
    assert decide(facts(has_replied=replied, reason=reason)) == Decision(What.STOP, state=state)
    early = facts(has_replied=replied, reason=reason, due_at=NOW + DAY, next_step=None)
    assert decide(early) == Decision(What.STOP, state=state)


@pytest.mark.parametrize("reason", [SkipReason.SAME_ADDRESS, SkipReason.EMPTY_VALUE])
def test_what_concerns_one_message_only_stops_nobody(reason):
    assert decide(facts(reason=reason)) == SEND_B


@pytest.mark.parametrize(
    ("given_facts", "wanted"),
    [
        # The last step ends it, whether it is sent or skipped.
        (facts(next_step=3, passed=(1, 2), previous=None), Decision(What.SEND, step=3, state=DONE)),
        (
            facts(steps=(A, B, replace(C, condition=StepCondition.OPENED)), next_step=3, passed=(1, 2), previous=SENT),
            Decision(What.SKIP, step=3, state=DONE),
        ),
        # Nothing is next, or what was next never was of this sequence.
        (facts(next_step=None), Decision(What.END, state=DONE)),
        (facts(next_step=99), Decision(What.END, state=DONE)),
        (facts(steps=(), next_step=2), Decision(What.END, state=DONE)),
        # Not yet.
        (facts(due_at=NOW + HOUR), Decision(What.WAIT, next_step=2, due_at=NOW + HOUR)),
        # The e-mail before has not left, or left late.
        (
            facts(previous=replace(SENT, is_waiting=True, sent_at=None)),
            Decision(What.WAIT, next_step=2, due_at=NOW + LOOK_AGAIN_AFTER),
        ),
        (facts(previous=replace(SENT, sent_at=NOW - HOUR)), Decision(What.WAIT, next_step=2, due_at=NOW + 23 * HOUR)),
        (facts(previous=replace(SENT, sent_at=NOW - DAY)), SEND_B),
        (facts(previous=replace(SENT, sent_at=None)), SEND_B),  # nobody knows when: not a reason to wait for ever
        # A template that is switched off: they wait, and are not skipped.
        (
            facts(steps=(A, replace(B, can_be_sent=False), C)),
            Decision(What.WAIT, next_step=2, due_at=NOW + LOOK_AGAIN_AFTER),
        ),
        # … but a step that is not theirs is skipped all the same.
        (facts(steps=(A, replace(B, can_be_sent=False, condition=StepCondition.OPENED), C)), SKIP_B),
        # A step behind them is not sent again, wherever it was moved to.
        (facts(steps=(B, replace(A, position=25), C)), SEND_B),
        (facts(next_step=1, due_at=NOW), Decision(What.WAIT, next_step=2, due_at=NOW + DAY)),
        (
            facts(steps=(B, C, replace(A, position=40)), next_step=3, passed=(1, 2), previous=None),
            Decision(What.SEND, step=3, state=DONE),
        ),
    ],
)
def test_what_happens_next(given_facts, wanted):
    assert decide(given_facts) == wanted


def test_a_removed_step_is_passed_over_with_the_wait_of_the_one_that_follows():
    gone = (A, replace(B, is_removed=True), C)

    # The day of B is over; C comes two days after A, so one more day.
    assert decide(facts(steps=gone)) == Decision(What.WAIT, next_step=3, due_at=NOW + DAY)
    late = facts(steps=gone, due_at=NOW - DAY)
    assert decide(late) == Decision(What.SEND, step=3, state=DONE)
    nothing_left = (A, replace(B, is_removed=True), replace(C, is_removed=True))
    assert decide(facts(steps=nothing_left)) == Decision(What.END, state=DONE)


def test_following_goes_by_position_and_not_by_the_order_given():
    assert following((C, B, A), 0, ()) == A
    assert following((C, B, A), 10, ()) == B
    assert following((C, B, A), 10, (2,)) == C
    assert following((C, replace(B, is_removed=True), A), 10, (3,)) is None


@pytest.mark.parametrize(
    ("before", "standing", "order"),
    [
        ([1, 2, 3], [1, 3], [1, 2, 3]),
        ([1, 2, 3], [3, 1], [3, 1, 2]),  # 2 came after 1
        ([1, 2, 3], [2, 3], [1, 2, 3]),
        ([1, 2, 3], [], [1, 2, 3]),
        ([1, 2, 3], [4, 3], [1, 2, 4, 3]),
        ([], [4], [4]),
    ],
)
def test_removed_steps_keep_their_place(before, standing, order):
    assert arranged(before, standing) == order


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)), st.randoms())
def test_arranging_loses_nothing_and_keeps_what_was_wanted(before, removed, random):
    standing = [step for step in before if step not in removed]
    random.shuffle(standing)

    order = arranged(before, standing)

    assert sorted(order) == list(range(6))
    assert [step for step in order if step not in removed] == standing


@given(st.data())
def test_whatever_is_changed_meanwhile_no_step_is_sent_twice_and_it_ends(data):
    """Steps are moved, removed and brought in between any two looks."""
    steps = [Step(number, number * 10, number) for number in range(1, 6)]
    now, next_step, due_at, passed, sent = NOW, 1, NOW, set(), []
    for _ in range(40):
        positions = data.draw(st.permutations([step.position for step in steps]))
        removed = data.draw(st.sets(st.sampled_from([step.id for step in steps]), max_size=2))
        steps = [
            replace(step, position=position, is_removed=step.is_removed or step.id in removed)
            for step, position in zip(steps, positions, strict=True)
        ]
        decision = decide(Facts(now, due_at, steps, next_step, passed))
        if decision.what == What.SEND:
            sent.append(decision.step)
        if decision.step is not None:
            passed.add(decision.step)
        if decision.state == DONE:
            break
        now, next_step, due_at = decision.due_at, decision.next_step, decision.due_at
    else:
        raise AssertionError("it never ends")

    assert len(sent) == len(set(sent))


GOOD = Draft(template_id=1, wait_hours=24)


@pytest.mark.parametrize(
    ("drafts", "faults"),
    [
        ([GOOD, GOOD], []),
        ([GOOD, replace(GOOD, condition=StepCondition.OPENED)], []),
        (
            [replace(GOOD, condition=StepCondition.NOT_CLICKED)],
            [Fault(0, "condition", "There is no e-mail before the first one.")],
        ),
        (
            [GOOD, replace(GOOD, condition=StepCondition.OPENED, wait_hours=0)],
            [Fault(1, "wait", "Give them at least an hour to open, click or answer.")],
        ),
        ([replace(GOOD, condition=StepCondition.STATUS_IS, status="lead")], []),
        ([replace(GOOD, condition=StepCondition.STATUS_IS_NOT)], [Fault(0, "status", "Choose a status.")]),
        ([GOOD, replace(GOOD, template_id=2)], [Fault(1, "template", "Choose a template that is switched on.")]),
    ],
)
def test_steps_that_make_no_sense_are_named(drafts, faults):
    assert faults_of(drafts, templates={1}, statuses={"lead"}) == faults


def test_an_answer_is_a_condition_where_it_does_not_end_everything():
    known = facts(steps=(A, replace(B, condition=StepCondition.REPLIED), C), has_replied=True)

    assert decide(known).state == EnrolmentState.REPLIED
    assert decide(replace(known, stops_on_reply=False)).what == What.SEND


@pytest.mark.parametrize(
    ("before", "now", "goes"), [("lead", "customer", True), ("lead", "lead", False), ("", "customer", False)]
)
def test_a_status_that_has_changed_since_they_were_enrolled(before, now, goes):
    steps = (A, replace(B, condition=StepCondition.STATUS_CHANGED), C)

    assert decide(facts(steps=steps, status_before=before, status=now)).what == (What.SEND if goes else What.SKIP)
