"""Putting contacts on their way: one, many, twice, with a worker killed on the way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.email.enums import SkipReason, SuppressionReason
from crm.email.models import Enrolment
from crm.email.models.sequences import EnrolJob, LeftOut
from crm.email.services import enrolling
from crm.email.services.enrolling import (
    EnrolError,
    cancel_enrol_job,
    enrol_contact,
    forget_old_enrol_jobs,
    lost_enrol_jobs,
    run_enrol_job,
    start_enrol_job,
)
from crm.email.services.sequences import delete_sequence, save_sequence
from crm.email.services.suppressing import suppress
from crm.email.tests.sequencing import NOW, committed, draft, make_sequence
from crm.enums import JobState
from crm.hooks.enums import Event
from crm.hooks.models import WebhookDelivery
from crm.hooks.tests.factories import make_endpoint
from crm.models import Contact, Interaction
from crm.selectors.contacts import FilterError
from crm.services.contacts import columns
from crm.tests.factories import make_contact
from tenants.context import entered

DAY = timedelta(days=1)


@pytest.fixture
def sequence(in_alice):
    return make_sequence(draft(24), draft(48, "follow-up"))


def person(number: int, **values):
    return make_contact(f"Person {number}", **{"contact_email": f"person{number}@example.com", **values})


def begin(sequence, owner, *, ids=None, query="", **values) -> EnrolJob:
    return start_enrol_job(sequence=sequence, ids=ids, query=query, by=owner, **values)


def finish(job: EnrolJob, **values) -> EnrolJob:
    assert run_enrol_job(job_id=job.pk, **values) is False
    job.refresh_from_db()
    return job


def test_one_contact_is_enrolled_and_its_timeline_says_so(sequence, owner, bob):
    with entered(bob):
        make_endpoint(events=[Event.INTERACTION_ADDED])
    endpoint = make_endpoint(events=[Event.INTERACTION_ADDED])
    contact = person(1)

    enrolment = enrol_contact(sequence=sequence, contact=contact, by=owner, now=NOW)

    assert (enrolment.due_at, enrolment.enrolled_by, enrolment.state) == (NOW + DAY, owner, "active")
    assert enrolment.next_step == sequence.steps.get(position=1)
    note = Interaction.objects.get(contact=contact)
    assert (note.subject, note.kind, note.user) == ("Enrolled in the sequence “Spring”", "note", owner)
    assert note.natural_key == f"sequence:{enrolment.pk}:enrolled"
    assert [row.endpoint_id for row in WebhookDelivery.objects.all()] == [endpoint.pk]
    with entered(bob):
        assert not Enrolment.objects.exists() and not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(("start", "due"), [(None, DAY), (3 * DAY, 4 * DAY), (-3 * DAY, DAY)])
def test_the_first_wait_begins_when_it_was_asked_to_and_never_in_the_past(sequence, start, due):
    start_at = None if start is None else NOW + start

    assert enrol_contact(sequence=sequence, contact=person(1), by=None, start_at=start_at, now=NOW).due_at == NOW + due


def test_a_contact_goes_through_a_sequence_once(sequence):
    contact = person(1)
    enrol_contact(sequence=sequence, contact=contact, by=None, now=NOW)
    Enrolment.objects.update(state="done")

    with pytest.raises(EnrolError, match="before"):
        enrol_contact(sequence=sequence, contact=contact, by=None, now=NOW)

    assert Enrolment.objects.count() == 1
    enrol_contact(sequence=make_sequence(name="Autumn"), contact=contact, by=None, now=NOW)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"contact_email": ""}, "no e-mail address"),
        ({"contact_email": "nonsense"}, "not a valid address"),
        ({"do_not_mail": True}, "does not want mail"),
        ({"contact_email": "gone@example.com"}, "unsubscribed|does not want mail"),
        ({"contact_email": "bounced@example.com"}, "bounced before"),
        ({"contact_email": "twice@example.com"}, "same address as another contact"),
        ({"deleted_at": NOW}, "This contact is gone"),
    ],
)
def test_who_cannot_be_written_to_is_not_enrolled(sequence, values, text):
    suppress(address="gone@example.com", reason=SuppressionReason.UNSUBSCRIBED)
    suppress(address="bounced@example.com", reason=SuppressionReason.BOUNCED)
    enrol_contact(sequence=sequence, contact=person(1, contact_email="twice@example.com"), by=None, now=NOW)

    with pytest.raises(EnrolError, match=text):
        enrol_contact(sequence=sequence, contact=person(2, **values), by=None, now=NOW)

    assert Enrolment.objects.count() == 1


def test_there_must_be_something_to_send_and_a_sequence(in_alice, sequence):
    empty = save_sequence(sequence=None, name="Empty", is_active=False, drafts=[], by=None)
    with pytest.raises(EnrolError, match="no steps"):
        enrol_contact(sequence=empty, contact=person(1), by=None)
    with pytest.raises(EnrolError, match="within a year"):
        enrol_contact(sequence=sequence, contact=person(2), by=None, start_at=NOW + 400 * DAY, now=NOW)
    delete_sequence(sequence=sequence, by=None)
    with pytest.raises(EnrolError, match="gone"):
        enrol_contact(sequence=sequence, contact=person(3), by=None)


# --- many ------------------------------------------------------------------------------------------------------------


def test_a_view_is_enrolled_and_who_is_left_out_is_named(sequence, owner, bob, monkeypatch):
    monkeypatch.setattr(enrolling, "CHUNK", 2)
    with entered(bob):
        person(1, city="Ulm")
    fine = [person(number, city="Ulm") for number in range(4)]
    known = person(5, city="Ulm")
    enrol_contact(sequence=sequence, contact=known, by=None, now=NOW)
    suppress(address="person6@example.com", reason=SuppressionReason.BOUNCED)
    bounced, silent = person(6, city="Ulm"), person(7, city="Ulm", do_not_mail=True)
    unreachable, twice = person(8, city="Ulm", contact_email=""), person(9, city="Ulm", contact_email="person0@example.com")
    person(10, city="Bonn")

    job = finish(begin(sequence, owner, query="city=ulm", start_at=NOW + DAY, now=NOW), now=NOW)

    assert (job.state, job.total, job.enrolled, job.known) == (JobState.DONE, 9, 4, 1)
    assert dict(LeftOut.objects.values_list("contact", "reason")) == {
        bounced.pk: SkipReason.BOUNCED,
        silent.pk: SkipReason.DO_NOT_MAIL,
        unreachable.pk: SkipReason.NO_ADDRESS,
        twice.pk: SkipReason.SAME_ADDRESS,
    }
    new = Enrolment.objects.exclude(contact=known)
    assert list(new.order_by("pk").values_list("contact", flat=True)) == [contact.pk for contact in fine]
    assert set(new.values_list("due_at", "enrolled_by")) == {(NOW + 2 * DAY, owner.pk)}
    assert Interaction.objects.filter(natural_key__endswith=":enrolled").count() == 5
    with entered(bob):
        assert not Enrolment.objects.exists()


def test_ticked_contacts_are_enrolled_and_a_second_job_finds_them_known(sequence, owner):
    one, two, _ = (person(number) for number in range(3))

    assert finish(begin(sequence, owner, ids=[two.pk, one.pk, one.pk])).enrolled == 2
    again = finish(begin(sequence, owner, ids=[two.pk, one.pk]))

    assert (again.enrolled, again.known, Enrolment.objects.count()) == (0, 2, 2)


def test_contacts_that_came_later_are_not_meant(sequence, owner):
    person(1)
    job = begin(sequence, owner)
    person(2)

    assert finish(job).enrolled == 1


def test_two_thousand_are_enrolled_in_pieces_though_the_worker_is_killed_between_and_within(sequence, owner, monkeypatch):
    Contact.objects.bulk_create(
        Contact(**columns({"contact_name": f"P{n}", "contact_email": f"p{n}@example.com"})) for n in range(2000)
    )
    job = begin(sequence, owner)
    run_enrol_job(job_id=job.pk, step_s=-1)  # between two pieces
    original, killed = enrolling.write_notes, []

    def dies(*args, **values):
        killed.append(True)
        raise KeyboardInterrupt

    monkeypatch.setattr(enrolling, "write_notes", dies)  # within one: the enrolments are written, the notes are not
    with pytest.raises(KeyboardInterrupt):
        run_enrol_job(job_id=job.pk)
    monkeypatch.setattr(enrolling, "write_notes", original)
    job.refresh_from_db()
    assert (job.enrolled, Enrolment.objects.count()) == (500, 500)
    assert lost_enrol_jobs(now=job.touched_at + timedelta(seconds=59)) == []
    later = job.touched_at + timedelta(seconds=61)
    assert lost_enrol_jobs(now=later) == [job.pk] and lost_enrol_jobs(now=later) == []

    job = finish(job)

    assert killed == [True]
    assert (job.state, job.total, job.enrolled, job.known) == (JobState.DONE, 2000, 2000, 0)
    assert Enrolment.objects.values("contact").distinct().count() == Enrolment.objects.count() == 2000
    assert Interaction.objects.filter(natural_key__endswith=":enrolled").count() == 2000


def test_a_job_takes_turns_and_can_be_stopped(sequence, owner, monkeypatch):
    monkeypatch.setattr(enrolling, "CHUNK", 2)
    for number in range(5):
        person(number)
    job = begin(sequence, owner)

    assert run_enrol_job(job_id=job.pk, step_s=-1) is True
    assert cancel_enrol_job(job=job) is True
    assert cancel_enrol_job(job=job) is False
    assert run_enrol_job(job_id=job.pk) is False

    job.refresh_from_db()
    assert (job.state, job.enrolled, Enrolment.objects.count()) == (JobState.CANCELED, 2, 2)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"ids": []}, EnrolError),
        ({"query": "x" * 2001}, EnrolError),
        ({"query": "status=nonsense"}, FilterError),
        ({"query": "cf_gone=1"}, FilterError),
        ({"start_at": timezone.now() + timedelta(days=400)}, EnrolError),
    ],
)
def test_what_is_not_understood_enrols_nobody(sequence, owner, values, error):
    person(1)

    with pytest.raises(error):
        begin(sequence, owner, **values)

    assert not EnrolJob.objects.exists()


def test_a_sequence_that_went_away_fails_the_job_with_a_reason(sequence, owner):
    person(1)
    job = begin(sequence, owner)
    delete_sequence(sequence=sequence, by=owner)

    job = finish(job)

    assert (job.state, job.error) == (JobState.FAILED, "This sequence is gone.")


def test_old_jobs_are_forgotten_with_their_lists(sequence, owner):
    person(1, contact_email="")
    job = finish(begin(sequence, owner, now=NOW), now=NOW)

    assert forget_old_enrol_jobs(now=NOW + 29 * DAY) == 0
    assert forget_old_enrol_jobs(now=job.finished_at + 31 * DAY) == 1
    assert not LeftOut.objects.exists()


def test_two_jobs_at_once_enrol_nobody_twice(alice):
    """Real connections: one waits for the other's piece, and then finds everybody known."""

    def prepare():
        sequence = make_sequence(draft(24))
        for number in range(6):
            person(number)
        return begin(sequence, None).pk, begin(sequence, None).pk

    with committed(alice) as run:
        [(first, second)] = run(prepare)
        run(lambda: run_enrol_job(job_id=first), lambda: run_enrol_job(job_id=second), lambda: run_enrol_job(job_id=first))
        [(count, found)] = run(
            lambda: (Enrolment.objects.count(), sorted(EnrolJob.objects.values_list("enrolled", "known")))
        )

    assert (count, found) == (6, [(0, 6), (6, 0)])
