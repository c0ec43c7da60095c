"""Time goes by: what is due is written, once, whoever is killed and whatever is changed meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError

from crm.email.enums import EnrolmentState, MessageState, Otherwise, SkipReason, StepCondition, SuppressionReason
from crm.email.models import EmailMessage, EmailTemplate, Enrolment, InboundEmail, Suppression
from crm.email.models.sequences import StepPassage
from crm.email.services import advancing
from crm.email.services.advancing import advance_due, sweep_enrolments
from crm.email.services.queueing import queue_message
from crm.email.services.sequences import HELD, save_sequence, stop_enrolments, switch_sequence
from crm.email.steps import LOOK_AGAIN_AFTER
from crm.email.tests.sequencing import NOW, change, committed, draft, drafts_of, enrol, make_sequence
from crm.models import Contact, Interaction
from crm.services.contacts import bin_contacts, set_do_not_contact, update_contact
from crm.services.merging import merge_contacts
from crm.tests.factories import make_contact
from tenants.context import entered
from thanos.encryption import blind_index

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def not_sent(monkeypatch):
    """Nothing is handed to a provider: what a test says became of a message, became of it."""
    monkeypatch.setattr("crm.email.services.queueing._publish_later", lambda message: None)


@pytest.fixture
def bobs(bob):
    """Bob's is due as well, and is nobody's business in Alice's rounds."""
    with entered(bob):
        enrol(make_sequence())
    yield
    with entered(bob):
        assert Enrolment.objects.get().state == EnrolmentState.ACTIVE
        assert not EmailMessage.objects.exists()


def sent(at=NOW, **facts) -> None:
    """The provider has taken what was waiting."""
    EmailMessage.objects.filter(state=MessageState.QUEUED).update(state=MessageState.SENT, sent_at=at, **facts)


def written() -> list[str]:
    return list(EmailMessage.objects.order_by("queued_at", "pk").values_list("version__template__key", flat=True))


def state_of(enrolment: Enrolment):
    enrolment.refresh_from_db()
    return enrolment.state, enrolment.next_step.wait_hours if enrolment.next_step else None, enrolment.due_at


def test_a_whole_way_in_virtual_time(in_alice, bobs):
    enrolment = enrol(make_sequence())  # at once · a day later · two days after that

    advance_due(now=NOW)
    assert (written(), state_of(enrolment)) == (["welcome"], ("active", 24, NOW + DAY))
    sent()
    advance_due(now=NOW + 23 * HOUR)
    assert written() == ["welcome"]
    advance_due(now=NOW + DAY)
    assert (written(), state_of(enrolment)) == (["welcome", "follow-up"], ("active", 48, NOW + 3 * DAY))
    sent(NOW + DAY)
    for _ in range(2):
        advance_due(now=NOW + 3 * DAY)

    assert written() == ["welcome", "follow-up", "invoice-reminder"]
    assert state_of(enrolment) == ("done", None, None)
    assert enrolment.ended_at == NOW + 3 * DAY
    assert list(StepPassage.objects.values_list("outcome", "at")) == [
        ("queued", NOW),
        ("queued", NOW + DAY),
        ("queued", NOW + 3 * DAY),
    ]


def test_what_is_written_is_fixed_in_bulk_and_to_the_contact(in_alice):
    enrolment = enrol(make_sequence())

    advance_due(now=NOW)

    message = EmailMessage.objects.get()
    assert (message.enrolment, message.step, message.contact) == (enrolment, enrolment.next_step, enrolment.contact)
    assert (message.to_email, message.is_bulk, message.state) == ("person1@example.com", True, "queued")
    assert message.values["contact_name"] == "Person 1"


@pytest.mark.parametrize(
    ("condition", "facts", "goes"),
    [
        (StepCondition.OPENED, {"opened_at": NOW}, True),
        (StepCondition.OPENED, {"clicked_at": NOW}, True),  # the click says so, where no picture was fetched
        (StepCondition.OPENED, {}, False),
        (StepCondition.NOT_OPENED, {"delivered_at": NOW}, True),
        (StepCondition.NOT_OPENED, {"delivered_at": NOW, "track_opens": False}, False),  # nobody looked
        (StepCondition.NOT_OPENED, {}, False),  # nobody has told that it arrived
        (StepCondition.NOT_OPENED, {"opened_at": NOW}, False),
        (StepCondition.CLICKED, {"clicked_at": NOW}, True),
        (StepCondition.CLICKED, {"opened_at": NOW}, False),
        (StepCondition.NOT_CLICKED, {"opened_at": NOW}, True),
    ],
)
def test_a_step_looks_at_what_became_of_the_one_before(in_alice, condition, facts, goes):
    enrolment = enrol(make_sequence(draft(), draft(24, "follow-up", condition=condition), draft(48, "invoice-reminder")))
    advance_due(now=NOW)
    sent(**facts)

    advance_due(now=NOW + DAY)

    assert written() == (["welcome", "follow-up"] if goes else ["welcome"])
    assert state_of(enrolment) == ("active", 48, NOW + 3 * DAY)
    assert StepPassage.objects.last().outcome == ("queued" if goes else "skipped")


def test_a_condition_can_end_it(in_alice):
    first = draft(condition=StepCondition.STATUS_IS_NOT, status="customer", otherwise=Otherwise.END)
    sequence = make_sequence(first, draft(24))
    lead, customer = enrol(sequence), enrol(sequence, 2, status="customer")

    advance_due(now=NOW)

    assert list(EmailMessage.objects.values_list("enrolment", flat=True)) == [lead.pk]
    assert state_of(customer) == ("done", None, None)
    assert customer.passages.get().outcome == "skipped"


@pytest.mark.parametrize("state", [MessageState.DROPPED, MessageState.FAILED, MessageState.SKIPPED, MessageState.BLOCKED])
def test_an_e_mail_nobody_took_is_not_the_previous_one(in_alice, state):
    sequence = make_sequence(draft(), draft(24, "follow-up"), draft(24, "invoice-reminder", condition=StepCondition.OPENED))
    enrol(sequence)
    advance_due(now=NOW)
    sent(opened_at=NOW)
    advance_due(now=NOW + DAY)
    EmailMessage.objects.filter(state=MessageState.QUEUED).update(state=state)

    advance_due(now=NOW + 2 * DAY)

    assert written()[-1] == "invoice-reminder"  # for the first one, which was opened


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_the_next_e_mail_waits_until_the_one_before_has_left_and_then_its_whole_wait(in_alice):
    enrolment = enrol(make_sequence())
    advance_due(now=NOW)

    advance_due(now=NOW + DAY)  # still in line: the provider was away
    assert (written(), state_of(enrolment)) == (["welcome"], ("active", 24, NOW + DAY + LOOK_AGAIN_AFTER))
    sent(NOW + DAY + HOUR)
    advance_due(now=NOW + DAY + 2 * HOUR)
    assert state_of(enrolment) == ("active", 24, NOW + 2 * DAY + HOUR)
    advance_due(now=NOW + 2 * DAY + HOUR)

    assert written() == ["welcome", "follow-up"]


def test_about_an_unknown_fate_no_condition_holds(in_alice):
    enrol(make_sequence(draft(), draft(24, "follow-up", condition=StepCondition.NOT_OPENED)))
    advance_due(now=NOW)
    EmailMessage.objects.update(state=MessageState.UNKNOWN)

    advance_due(now=NOW + DAY)

    assert written() == ["welcome"]


def test_a_template_that_is_switched_off_makes_people_wait(in_alice):
    enrolment = enrol(make_sequence())
    EmailTemplate.objects.filter(key="welcome").update(is_active=False)

    advance_due(now=NOW)
    assert (written(), state_of(enrolment)) == ([], ("active", 0, NOW + LOOK_AGAIN_AFTER))
    EmailTemplate.objects.filter(key="welcome").update(is_active=True)
    advance_due(now=NOW + LOOK_AGAIN_AFTER)

    assert written() == ["welcome"]


def test_while_a_sequence_is_off_dates_stay_and_afterwards_the_overdue_goes(in_alice, bobs):
    sequence = make_sequence()
    enrolment = enrol(sequence)
    switch_sequence(sequence=sequence, is_active=False, by=None)

    advance_due(now=NOW + 5 * DAY)
    assert (written(), state_of(enrolment)) == ([], ("active", 0, NOW))
    switch_sequence(sequence=sequence, is_active=True, by=None)
    advance_due(now=NOW + 5 * DAY)

    assert (written(), state_of(enrolment)) == (["welcome"], ("active", 24, NOW + 6 * DAY))


# --- ending ----------------------------------------------------------------------------------------------------------


def suppressed(reason):
    """An address on the list whose sequences nobody ended: a worker was killed, or the row came another way."""

    def happens(contact):
        address = contact.contact_email
        Suppression.objects.create(email=address, email_index=blind_index(address), reason=reason)

    return happens


def answer(contact, **values):
    facts = {"provider_id": f"{contact.pk}", "from_email": "a@b.test", "from_index": "x", "received_at": NOW + HOUR}
    InboundEmail.objects.create(contact=contact, **facts | values)


def reply(contact):
    EmailMessage.objects.filter(contact=contact).update(replied_at=NOW + HOUR)


ENDS = [
    (reply, EnrolmentState.REPLIED),
    (answer, EnrolmentState.REPLIED),
    (suppressed(SuppressionReason.UNSUBSCRIBED), EnrolmentState.UNSUBSCRIBED),
    (lambda contact: set_do_not_contact(contact=contact, source="person"), EnrolmentState.UNSUBSCRIBED),
    (suppressed(SuppressionReason.SPAM), EnrolmentState.UNSUBSCRIBED),
    (suppressed(SuppressionReason.BOUNCED), EnrolmentState.BLOCKED),
    (lambda contact: update_contact(contact=contact, values={"contact_email": ""}), EnrolmentState.BLOCKED),
    (lambda contact: bin_contacts(ids=[contact.pk]), EnrolmentState.BLOCKED),
]


@pytest.mark.parametrize(("happens", "state"), ENDS)
def test_it_ends_at_the_next_look(in_alice, bobs, happens, state):
    sequence = make_sequence()
    enrolment, neighbour = enrol(sequence), enrol(sequence, 2)
    advance_due(now=NOW)
    sent()
    happens(Contact.objects.get(pk=enrolment.contact_id))

    advance_due(now=NOW + DAY)

    assert state_of(enrolment)[0] == state
    assert enrolment.ended_at == NOW + DAY
    assert state_of(neighbour)[0] == EnrolmentState.ACTIVE
    assert EmailMessage.objects.filter(enrolment=enrolment).count() == 1
    notes = Interaction.objects.filter(natural_key=f"sequence:{enrolment.pk}:replied").count()
    assert notes == (state == EnrolmentState.REPLIED)


@pytest.mark.parametrize(("happens", "state"), [end for end in ENDS if end[0] is not answer])
def test_the_sweep_ends_it_before_anything_is_due_and_cancels_what_waits(in_alice, bobs, happens, state):
    sequence = make_sequence()
    enrolment, neighbour = enrol(sequence), enrol(sequence, 2)
    advance_due(now=NOW)
    happens(Contact.objects.get(pk=enrolment.contact_id))
    Contact.objects.filter(deleted_at__isnull=False).update(deleted_at=NOW)

    assert sweep_enrolments(now=NOW + HOUR) == 1
    assert sweep_enrolments(now=NOW + HOUR) == 0

    assert state_of(enrolment)[0] == state
    assert dict(EmailMessage.objects.values_list("enrolment", "state")) == {
        enrolment.pk: MessageState.CANCELED,
        neighbour.pk: MessageState.QUEUED,
    }


def test_an_automatic_answer_and_one_from_before_end_nothing(in_alice):
    enrolment = enrol(make_sequence())
    answer(enrolment.contact, is_automatic=True, provider_id="1")
    answer(enrolment.contact, received_at=NOW - HOUR, provider_id="2")

    advance_due(now=NOW)

    assert state_of(enrolment)[0] == EnrolmentState.ACTIVE


def test_a_contact_that_comes_out_of_the_bin_at_once_goes_on(in_alice):
    enrolment = enrol(make_sequence())
    Contact.objects.update(deleted_at=NOW)

    assert sweep_enrolments(now=NOW + timedelta(minutes=4)) == 0

    assert state_of(enrolment)[0] == EnrolmentState.ACTIVE


def test_a_message_left_out_for_good_ends_it_and_one_left_out_once_does_not(in_alice):
    sequence = make_sequence()
    for_good, once = enrol(sequence), enrol(sequence, 2)
    reasons = {for_good.pk: SkipReason.UNSUBSCRIBED, once.pk: SkipReason.EMPTY_VALUE}

    def leaves_out(*, enrolment, **values):
        message = queue_message(enrolment=enrolment, **values)
        message.state, message.skip_reason = MessageState.SKIPPED, reasons[enrolment.pk]
        message.save()
        return message

    advance_due(now=NOW, queue=leaves_out)

    assert state_of(for_good)[0] == EnrolmentState.UNSUBSCRIBED
    assert state_of(once) == ("active", 24, NOW + DAY)


def test_the_sweep_heals_what_came_in_between(in_alice, bobs):
    off, on = make_sequence(), make_sequence(name="On")
    stopped, waiting = enrol(on), enrol(off, 2)
    done = enrol(on, 3)
    advance_due(now=NOW)
    # Written by a worker in the very moment somebody stopped the one and switched off the other.
    Enrolment.objects.filter(pk=stopped.pk).update(state=EnrolmentState.STOPPED)
    Enrolment.objects.filter(pk=done.pk).update(state=EnrolmentState.DONE)
    type(off).objects.filter(pk=off.pk).update(is_active=False)

    sweep_enrolments(now=NOW + HOUR)

    found = {row.enrolment_id: (row.state, row.not_before == HELD) for row in EmailMessage.objects.all()}
    assert found == {stopped.pk: ("canceled", False), waiting.pk: ("queued", True), done.pk: ("queued", False)}


# --- while it is being edited ----------------------------------------------------------------------------------------


def test_editing_changes_what_comes_and_nothing_that_is_queued(in_alice):
    sequence = make_sequence()
    enrolment = enrol(sequence)
    advance_due(now=NOW)
    sent()
    before = EmailMessage.objects.values().get()
    a, b, c = drafts_of(sequence)

    change(sequence, [draft(1, "invoice-reminder"), a, c])  # a new one in front, b taken out
    advance_due(now=NOW + DAY)

    assert state_of(enrolment) == ("active", 48, NOW + 2 * DAY)  # c comes two days after a, as it now reads
    assert EmailMessage.objects.values().get() == before
    advance_due(now=NOW + 2 * DAY)
    assert written() == ["welcome", "invoice-reminder"]
    assert state_of(enrolment)[0] == EnrolmentState.DONE


def test_a_step_moved_behind_is_not_sent_again_and_a_new_one_ahead_is(in_alice):
    sequence = make_sequence()
    enrolment = enrol(sequence)
    advance_due(now=NOW)
    sent()
    a, b, c = drafts_of(sequence)

    change(sequence, [b, draft(2, "invoice-reminder"), a, c])
    for at in (NOW + DAY, NOW + DAY + 2 * HOUR, NOW + 4 * DAY, NOW + 9 * DAY):
        advance_due(now=at)
        sent(at)

    assert written() == ["welcome", "follow-up", "invoice-reminder", "invoice-reminder"]
    assert state_of(enrolment)[0] == EnrolmentState.DONE


def test_all_steps_taken_out_finishes_it(in_alice):
    sequence = make_sequence()
    enrolment = enrol(sequence)
    save_sequence(sequence=sequence, name="Spring", is_active=False, drafts=[], by=None)
    type(sequence).objects.update(is_active=True)

    advance_due(now=NOW)

    assert (written(), state_of(enrolment)) == ([], ("done", None, None))


# --- workers ---------------------------------------------------------------------------------------------------------


def test_killed_between_the_message_and_the_move_neither_has_happened(in_alice, monkeypatch):
    enrolment = enrol(make_sequence())

    def dies(**values):
        queue_message(**values)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        advance_due(now=NOW, queue=dies)
    assert (written(), state_of(enrolment)) == ([], ("active", 0, NOW))
    advance_due(now=NOW)

    assert written() == ["welcome"]


def test_the_trouble_of_one_is_not_the_others(in_alice, caplog):
    sequence = make_sequence()
    one, two = enrol(sequence), enrol(sequence, 2)

    def stumbles(*, enrolment, **values):
        if enrolment == one:
            queue_message(enrolment=enrolment, **values)
            raise IntegrityError("as it happens")
        return queue_message(enrolment=enrolment, **values)

    advance_due(now=NOW, queue=stumbles)

    assert list(EmailMessage.objects.values_list("enrolment", flat=True)) == [two.pk]
    assert state_of(one) == ("active", 0, NOW + LOOK_AGAIN_AFTER)
    assert "could not go on" in caplog.text
    advance_due(now=NOW + LOOK_AGAIN_AFTER)
    assert EmailMessage.objects.filter(enrolment=one).count() == 1


def test_many_are_taken_in_turns(in_alice, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(advancing, "CHUNK", 2)
    sequence = make_sequence()
    for number in range(5):
        enrol(sequence, number)

    assert advance_due(now=NOW, step_s=-1) is True
    assert EmailMessage.objects.count() == 2
    assert advance_due(now=NOW) is False
    assert EmailMessage.objects.count() == 5
    with django_assert_max_num_queries(5):
        assert advance_due(now=NOW) is False


def test_two_workers_at_once_write_each_step_once(alice, monkeypatch):
    """Real connections, which begin in the same moment and take a few each."""
    monkeypatch.setattr(advancing, "CHUNK", 4)

    def prepare():
        sequence = make_sequence()
        for number in range(30):
            enrol(sequence, number)

    with committed(alice) as run:
        run(prepare)
        run(*[lambda: advance_due(now=NOW)] * 3)
        [(messages, passages, due)] = run(
            lambda: (
                EmailMessage.objects.count(),
                StepPassage.objects.count(),
                set(Enrolment.objects.values_list("due_at", flat=True)),
            )
        )

    assert (messages, passages, due) == (30, 30, {NOW + DAY})


def test_a_second_message_of_a_step_is_impossible(in_alice):
    enrolment = enrol(make_sequence())
    advance_due(now=NOW)
    Enrolment.objects.update(next_step=enrolment.next_step, due_at=NOW)  # as though the move were lost

    advance_due(now=NOW)

    assert written() == ["welcome"]
    first = EmailMessage.objects.get()
    with pytest.raises(IntegrityError):
        EmailMessage.objects.create(enrolment=first.enrolment, step=first.step, contact=first.contact)


# --- contacts that are one -------------------------------------------------------------------------------------------


def test_a_merged_contact_goes_on_and_what_both_were_in_goes_once(in_alice, owner):
    both, alone = make_sequence(), make_sequence(name="Alone")
    kept, merged = enrol(both), enrol(both, 2)
    other = make_contact("Person 3", contact_email="person3@example.com")
    on_its_own = enrol(alone, 4)
    stop_enrolments(enrolments=Enrolment.objects.filter(pk=merged.pk), state=EnrolmentState.STOPPED)

    merge_contacts(kept=kept.contact, merged=merged.contact, take={}, by=owner)
    merge_contacts(kept=other, merged=on_its_own.contact, take={}, by=owner)
    advance_due(now=NOW)

    assert Enrolment.objects.filter(contact=kept.contact).count() == 1
    on_its_own.refresh_from_db()
    assert on_its_own.contact_id == other.pk
    assert sorted(EmailMessage.objects.values_list("contact", flat=True)) == [kept.contact_id, other.pk]
