from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.enums import JobKind, JobState
from crm.models import Contact, ContactChange, ContactJob, Tag
from crm.services import jobs
from crm.services.contacts import update_contact
from crm.services.jobs import JobError, cancel_job, lost_jobs, run_job, start_job, undo_job
from crm.tests.factories import make_contact
from tenants.context import entered


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 2)


def begin(kind, user, ids=None, query="", **parameters) -> ContactJob:
    return start_job(kind=kind, parameters=parameters, ids=ids, query=query, user=user)


def finish(job: ContactJob) -> ContactJob:
    run_job(job_id=job.pk)
    job.refresh_from_db()
    return job


def test_a_status_is_changed_for_all_a_list_shows_and_taken_back(in_alice, owner, bob):
    with entered(bob):
        make_contact(city="Ulm")
    inside = [make_contact(city="Ulm", status=status) for status in ("lead", "lead", "customer", "prospect", "lead")]
    outside = make_contact(city="Bonn")

    job = finish(begin(JobKind.SET_STATUS, owner, query="city=ulm", status="customer"))

    assert (job.state, job.total, job.done, job.skipped) == (JobState.DONE, 5, 4, 1)
    assert set(Contact.objects.filter(city="Ulm").values_list("status", flat=True)) == {"customer"}
    outside.refresh_from_db()
    assert outside.status == "lead"
    undo_job(job=job)
    job = finish(job)
    assert (job.state, job.done, job.skipped) == (JobState.UNDONE, 4, 0)
    assert [Contact.objects.get(pk=contact.pk).status for contact in inside] == [
        "lead",
        "lead",
        "customer",
        "prospect",
        "lead",
    ]
    with entered(bob):
        assert Contact.objects.get().status == "lead"


def test_what_somebody_changed_since_stays(in_alice, owner):
    one, two, three = (make_contact() for _ in range(3))
    job = finish(begin(JobKind.SET_STATUS, owner, ids=[one.pk, two.pk, three.pk], status="customer"))
    update_contact(contact=Contact.objects.get(pk=one.pk), values={"status": "closed_won"})
    update_contact(contact=Contact.objects.get(pk=two.pk), values={"city": "Ulm"})

    undo_job(job=job)
    job = finish(job)

    assert (job.done, job.skipped) == (2, 1)
    statuses = dict(Contact.objects.values_list("pk", "status"))
    assert statuses == {one.pk: "closed_won", two.pk: "lead", three.pk: "lead"}


def test_tags_owner_and_deletion(in_alice, owner):
    one, two = make_contact(tags=["a"]), make_contact(tags=["b"])
    ids = [one.pk, two.pk]

    finish(begin(JobKind.ADD_TAGS, owner, ids=ids, tags=["b", "c"]))
    assert list(Contact.objects.order_by("pk").values_list("tags", flat=True)) == [["a", "b", "c"], ["b", "c"]]
    assert set(Tag.objects.values_list("name", flat=True)) == {"b", "c"}
    finish(begin(JobKind.REMOVE_TAGS, owner, ids=ids, tags=["b"]))
    finish(begin(JobKind.SET_OWNER, owner, ids=ids, owner=owner.pk))
    assert set(Contact.objects.values_list("owner", flat=True)) == {owner.pk}
    gone = finish(begin(JobKind.DELETE, owner, ids=ids))
    assert not Contact.objects.live().exists()
    undo_job(job=gone)
    finish(gone)
    assert list(Contact.objects.live().order_by("pk").values_list("tags", flat=True)) == [["a", "c"], ["c"]]


def test_a_killed_worker_is_found_and_the_job_goes_on_where_it_was(in_alice, owner, monkeypatch):
    for _ in range(5):
        make_contact()
    job = begin(JobKind.SET_STATUS, owner, query="status=lead", status="customer")
    changed = []
    original = jobs._change

    def dies(job, contacts):
        if changed:
            raise KeyboardInterrupt
        changed.append(len(contacts))
        return original(job, contacts)

    monkeypatch.setattr(jobs, "_change", dies)
    with pytest.raises(KeyboardInterrupt):
        run_job(job_id=job.pk)
    monkeypatch.setattr(jobs, "_change", original)
    job.refresh_from_db()
    assert (job.state, job.done) == (JobState.RUNNING, 2)
    assert lost_jobs() == []
    ContactJob.objects.update(touched_at=timezone.now() - timedelta(minutes=2))
    assert lost_jobs() == [job.pk] and lost_jobs() == []

    assert finish(job).done == 5
    assert ContactChange.objects.count() == 5


def test_a_job_takes_turns(in_alice, owner):
    for _ in range(5):
        make_contact()
    job = begin(JobKind.SET_STATUS, owner, query="", status="customer")

    turns = 1
    while run_job(job_id=job.pk, step_s=-1):
        turns += 1

    assert turns == 4
    assert run_job(job_id=job.pk) is False


def test_a_stopped_job_stays_where_it_is_and_can_be_undone(in_alice, owner):
    for _ in range(4):
        make_contact()
    job = begin(JobKind.SET_STATUS, owner, query="", status="customer")
    run_job(job_id=job.pk, step_s=-1)

    assert cancel_job(job=job) is True
    assert run_job(job_id=job.pk) is False
    assert cancel_job(job=job) is False
    assert Contact.objects.filter(status="customer").count() == 2
    assert undo_job(job=job) is True
    finish(job)
    assert not Contact.objects.filter(status="customer").exists()


@pytest.mark.parametrize(
    ("kind", "ids", "parameters"),
    [
        (JobKind.SET_STATUS, [], {"status": "lead"}),
        (JobKind.SET_STATUS, [1], {"status": "nope"}),
        (JobKind.ADD_TAGS, [1], {"tags": []}),
        (JobKind.ADD_TAGS, [1], {"tags": ["x" * 61]}),
        (JobKind.SET_OWNER, [1], {}),
    ],
)
def test_senseless_jobs_are_refused(kind, ids, parameters, in_alice, owner):
    with pytest.raises(JobError):
        begin(kind, owner, ids=ids, **parameters)
    assert not ContactJob.objects.exists()


def test_the_pages_of_a_job(visit, owner, member, stranger, in_alice):
    one, two = make_contact(), make_contact()
    client = visit(owner)

    begun = client.post("/crm/jobs/", {"action": "add-tags", "contact": [one.pk, two.pk], "tags": "x, y"})

    job = ContactJob.objects.get()
    assert begun.headers["Location"] == job.get_absolute_url()
    assert b"Waiting" in client.get(job.get_absolute_url()).content
    finish(job)
    assert b"Undo" in client.get(job.get_absolute_url()).content
    assert client.post(f"/crm/jobs/{job.pk}/cancel/").status_code == 302
    assert client.post(f"/crm/jobs/{job.pk}/undo/").status_code == 302
    for path in ("/crm/jobs/", f"/crm/jobs/{job.pk}/cancel/", f"/crm/jobs/{job.pk}/undo/"):
        assert visit(member).post(path).status_code == 403
        assert visit(stranger).post(path).status_code == 404
        assert client.get(path).status_code == 405
    assert client.post("/crm/jobs/", {"action": "merge", "contact": [one.pk, two.pk]}).headers["Location"] == (
        f"/crm/contacts/{one.pk}/merge/{two.pk}/"
    )


def test_those_that_are_ticked_are_exported(visit, owner, in_alice):
    one, _, three = make_contact("One"), make_contact("Two"), make_contact("Three")
    client = visit(owner)

    asked = client.post("/crm/jobs/", {"action": "export", "contact": [one.pk, three.pk], "query": "q=x"})
    text = b"".join(client.get(asked.headers["Location"]).streaming_content).decode("utf-8-sig")

    assert "One" in text and "Three" in text and "Two" not in text
    everything = client.post("/crm/jobs/", {"action": "export", "all": "yes", "query": "status=lead"})
    assert everything.headers["Location"] == "/crm/export/?format=csv&status=lead"
    assert client.post("/crm/jobs/", {"action": "export"}).headers["Location"] == "/crm/contacts/"


def test_a_condition_that_is_not_understood_does_not_mean_everybody(in_alice, owner, visit):
    from crm.models import CustomField
    from crm.selectors.contacts import FilterError

    vip = CustomField.objects.create(key="vip", label="VIP", type="boolean")
    make_contact("Other")
    make_contact("VIP", custom_fields={"vip": True})
    job = begin(JobKind.DELETE, owner, query="cf_vip=yes")
    CustomField.objects.filter(pk=vip.pk).update(is_active=False)

    job = finish(job)

    assert (job.state, job.done) == (JobState.FAILED, 0)
    assert "no field" in job.error
    assert Contact.objects.live().count() == 2
    with pytest.raises(FilterError):
        begin(JobKind.DELETE, owner, query="cf_vip=yes")
    client = visit(owner)
    assert client.get("/crm/export/?format=csv&cf_vip=yes").headers["Location"] == "/crm/contacts/"
    assert client.get("/api/v1/contacts/?cf_vip=yes").status_code == 400
    assert client.get("/api/v1/contacts/?stauts=lead").status_code == 400
    assert b"no field" in client.get("/crm/contacts/?cf_vip=yes").content
