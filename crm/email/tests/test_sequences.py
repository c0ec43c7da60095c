"""Writing, switching, ending sequences; and who leaves them early."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crm.email.enums import EnrolmentState, MessageState, StepCondition
from crm.email.models import EmailMessage, EmailTemplate, Enrolment, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.services.enrolling import enrol_contact
from crm.email.services.sequences import (
    HELD,
    MAX_STEPS,
    SequenceError,
    delete_sequence,
    save_sequence,
    stop_enrolments,
    stop_for_contact,
    switch_sequence,
)
from crm.email.tests.sequencing import NOW, change, draft, drafts_of, enrol, make_message, make_sequence
from crm.models import Interaction
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent


@pytest.fixture
def bobs(bob):
    """Bob has the very same: whatever is done to all of Alice's is not done to his."""
    with entered(bob):
        enrolment = enrol(make_sequence())
        make_message(enrolment)
    yield enrolment
    with entered(bob):
        enrolment.refresh_from_db()
        assert enrolment.state == EnrolmentState.ACTIVE
        assert EmailMessage.objects.get().state == MessageState.QUEUED


def test_a_sequence_is_written_with_its_steps_in_order(in_alice, owner, bobs):
    sequence = save_sequence(
        sequence=None, name="  Spring ", is_active=False, drafts=[draft(), draft(24, "follow-up")], by=owner
    )

    assert (sequence.name, sequence.is_active, sequence.version) == ("Spring", False, 2)
    steps = SequenceStep.objects.filter(sequence=sequence).values_list("position", "wait_hours", "template__key")
    assert list(steps) == [(1, 0, "welcome"), (2, 24, "follow-up")]
    event = AuditEvent.objects.filter(tenant=in_alice, action=AuditAction.SEQUENCE_CHANGED).get()
    assert (event.actor, event.target) == (owner, "saved: Spring")


def test_steps_are_moved_changed_added_and_taken_out(in_alice):
    sequence = make_sequence()
    a, b, c = drafts_of(sequence)

    change(sequence, [c, draft(5), a])

    rows = SequenceStep.objects.filter(sequence=sequence)
    assert list(rows.standing().values_list("wait_hours", flat=True)) == [48, 5, 0]
    gone = rows.get(pk=b.id)
    assert gone.removed_at is not None
    # It stands behind the one it came after, so that whoever was at it goes on from there.
    assert [step.pk for step in rows].index(b.id) == [step.pk for step in rows].index(a.id) + 1
    assert sorted(rows.values_list("position", flat=True)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"name": " "}, "name", "name"),
        ({"name": "x" * 121}, "name", "120"),
        ({"drafts": [], "is_active": True}, "is_active", "at least one step"),
        ({"drafts": ["many"]}, "", "at most 30"),
        ({"drafts": ["opened"]}, "", "no e-mail before"),
        ({"drafts": ["inactive"]}, "", "switched on"),
        ({"drafts": ["strange"]}, "", "gone meanwhile"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(in_alice, values, field, text):
    other = make_sequence(name="Other")
    known = {
        "many": [draft()] * (MAX_STEPS + 1),
        "opened": [draft(24, condition=StepCondition.OPENED)],
        "inactive": [draft(key="follow-up")],
        "strange": drafts_of(other),
    }
    EmailTemplate.objects.filter(key="follow-up").update(is_active=False)
    EmailTemplate.objects.filter(key="invoice-reminder").update(is_active=True)
    if values.get("drafts") == ["strange"]:
        EmailTemplate.objects.update(is_active=True)
    before = SequenceStep.objects.count(), EmailSequence.objects.count()
    wanted = {"name": "Spring", "is_active": False, "drafts": [draft()], **values}
    wanted["drafts"] = known[wanted["drafts"][0]] if wanted["drafts"] and wanted["drafts"][0] in known else wanted["drafts"]

    with pytest.raises(SequenceError, match=text) as caught:
        save_sequence(sequence=None, by=None, **wanted)

    assert caught.value.field == field
    assert (SequenceStep.objects.count(), EmailSequence.objects.count()) == before


def test_two_people_do_not_overwrite_each_other(in_alice):
    sequence = make_sequence()

    change(sequence, drafts_of(sequence)[:2], version=sequence.version)
    with pytest.raises(SequenceError, match="meanwhile"):
        change(sequence, drafts_of(sequence)[:1], version=sequence.version)

    assert len(drafts_of(sequence)) == 2


def test_a_deleted_sequence_takes_no_changes(in_alice):
    sequence = make_sequence()
    delete_sequence(sequence=sequence, by=None)

    for verb in (lambda: change(sequence, [draft()]), lambda: delete_sequence(sequence=sequence, by=None)):
        with pytest.raises(SequenceError, match="gone"):
            verb()


def test_switched_off_what_is_queued_is_held_and_let_go_again(in_alice, bobs, owner):
    sequence = make_sequence()
    queued, claimed = make_message(enrol(sequence)), make_message(enrol(sequence, 2), MessageState.CLAIMED)
    other = make_message(enrol(make_sequence(name="Other"), 3))

    assert switch_sequence(sequence=sequence, is_active=False, by=owner) is True
    assert switch_sequence(sequence=sequence, is_active=False, by=owner) is False

    due = dict(EmailMessage.objects.values_list("pk", "not_before"))
    assert due == {queued.pk: HELD, claimed.pk: NOW, other.pk: NOW}
    assert switch_sequence(sequence=sequence, is_active=True, by=owner) is True
    queued.refresh_from_db()
    assert queued.not_before < HELD
    assert queued.state == MessageState.QUEUED
    mine = AuditEvent.objects.filter(actor=owner, action=AuditAction.SEQUENCE_CHANGED).order_by("pk")
    assert [event.target for event in mine] == ["switched off: Spring", "switched on: Spring"]


def test_a_sequence_without_steps_is_not_switched_on(in_alice):
    sequence = save_sequence(sequence=None, name="Empty", is_active=False, drafts=[], by=None)

    with pytest.raises(SequenceError, match="at least one step"):
        switch_sequence(sequence=sequence, is_active=True, by=None)


def test_deleting_ends_it_for_everybody(in_alice, bobs):
    sequence = make_sequence()
    running, done = enrol(sequence), enrol(sequence, 2)
    last = make_message(done)
    Enrolment.objects.filter(pk=done.pk).update(state=EnrolmentState.DONE)
    queued, sent = make_message(running), make_message(enrol(sequence, 3), MessageState.SENT)

    delete_sequence(sequence=sequence, by=None)

    states = Enrolment.objects.order_by("pk").values_list("state", "due_at")
    assert list(states) == [("stopped", None), ("done", done.due_at), ("stopped", None)]
    messages = dict(EmailMessage.objects.values_list("pk", "state"))
    assert messages == {queued.pk: "canceled", last.pk: "canceled", sent.pk: "sent"}
    assert not EmailSequence.objects.kept().exists()


def test_a_reply_ends_all_the_contact_is_in_and_says_so_on_the_timeline(in_alice, bobs):
    spring, autumn = make_sequence(), make_sequence(name="Autumn")
    first = enrol(spring)
    second = enrol_contact(sequence=autumn, contact=first.contact, by=None, now=NOW)
    neighbour = enrol(spring, 2)
    messages = [make_message(first), make_message(second, MessageState.CLAIMED), make_message(neighbour)]

    for expected in (2, 0):
        assert stop_for_contact(contact_id=first.contact_id, reason=EnrolmentState.REPLIED, now=NOW) == expected

    rows = Enrolment.objects.order_by("pk").values_list("state", "ended_at", "due_at")
    assert list(rows) == [("replied", NOW, None), ("replied", NOW, None), ("active", None, neighbour.due_at)]
    states = [EmailMessage.objects.get(pk=message.pk).state for message in messages]
    assert states == ["canceled", "claimed", "queued"]
    notes = Interaction.objects.filter(contact=first.contact, natural_key__endswith=":replied").order_by("pk")
    assert [note.subject for note in notes] == [
        "Replied: the sequence “Spring” ends",
        "Replied: the sequence “Autumn” ends",
    ]


def test_the_last_e_mail_of_a_finished_sequence_does_not_go_to_who_just_replied(in_alice):
    enrolment = enrol(make_sequence())
    message = make_message(enrolment)
    Enrolment.objects.update(state=EnrolmentState.DONE, due_at=None)

    assert stop_for_contact(contact_id=enrolment.contact_id, reason=EnrolmentState.REPLIED) == 0

    message.refresh_from_db()
    enrolment.refresh_from_db()
    assert (message.state, enrolment.state) == (MessageState.CANCELED, EnrolmentState.DONE)


@pytest.mark.parametrize("state", [EnrolmentState.UNSUBSCRIBED, EnrolmentState.BLOCKED, EnrolmentState.STOPPED])
def test_other_ends_leave_no_note(in_alice, state):
    enrolment = enrol(make_sequence())
    before = Interaction.objects.count()

    assert stop_enrolments(enrolments=Enrolment.objects.all(), state=state, now=NOW + timedelta(hours=1)) == 1

    enrolment.refresh_from_db()
    assert (enrolment.state, enrolment.ended_at) == (state, NOW + timedelta(hours=1))
    assert Interaction.objects.count() == before
