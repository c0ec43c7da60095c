from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core import mail
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from crm.models import Attachment, Contact, Interaction
from crm.selectors.timeline import task_counts, tasks, timeline
from crm.services.attachments import AttachmentError, add_attachment, read_attachment
from crm.services.interactions import add_interaction, delete_interaction, set_task_done, update_interaction
from crm.services.purging import empty_bin
from crm.services.reminders import send_reminders
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def known(contact: Contact) -> tuple[datetime | None, int]:
    contact.refresh_from_db()
    return contact.last_interaction_at, contact.open_task_count


def test_a_contact_knows_when_somebody_was_in_touch_and_what_is_to_do(in_alice):
    ann = make_contact()
    assert known(ann) == (None, 0)

    call = add_interaction(contact=ann, kind="phone_call", at=NOW)
    add_interaction(contact=ann, kind="note", content="x", at=NOW + timedelta(days=1))
    task = add_interaction(contact=ann, kind="task", subject="Ring")
    assert known(ann) == (NOW, 1)
    set_task_done(interaction=task, done=True)
    assert known(ann) == (NOW, 0)
    update_interaction(interaction=call, values={"interaction_date": NOW - timedelta(days=1)})
    assert known(ann) == (NOW - timedelta(days=1), 0)
    delete_interaction(interaction=call)
    assert known(ann) == (None, 0)


def test_the_same_news_twice_is_one_entry(in_alice):
    ann = make_contact()
    first = add_interaction(contact=ann, kind="email", natural_key="mail:1")
    assert add_interaction(contact=ann, kind="email", natural_key="mail:1") == first
    assert Interaction.objects.count() == 1


def test_a_task_is_done_once(in_alice):
    task = make_interaction(make_contact(), "task")
    assert set_task_done(interaction=task, done=True, now=NOW) is True
    assert set_task_done(interaction=task, done=True) is False
    task.refresh_from_db()
    assert task.done_at == NOW
    assert set_task_done(interaction=make_interaction(task.contact, "note"), done=True) is False


def test_a_timeline_is_read_in_pages_newest_first(in_alice, bob):
    ann = make_contact()
    entries = [
        make_interaction(ann, "note", subject=str(n), interaction_date=NOW - timedelta(hours=n // 2)) for n in range(70)
    ]
    make_interaction(make_contact("Other"), subject="not hers")
    entries.sort(key=lambda entry: (entry.interaction_date, entry.pk), reverse=True)

    seen, cursor = [], None
    while True:
        page = timeline(contact=ann, cursor=cursor)
        seen += page.entries
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == entries
    assert timeline(contact=ann, kind="task").entries == []
    assert len(timeline(contact=ann, cursor="nonsense").entries) == 30


def test_tasks_by_when_and_whose(in_alice, owner, admin):
    ann = make_contact()
    today = date(2026, 11, 20)
    for subject, days, user in (("old", -1, owner), ("now", 0, owner), ("soon", 2, admin), ("any", None, owner)):
        due = None if days is None else today + timedelta(days=days)
        make_interaction(ann, "task", subject=subject, due_on=due, user=user)
    make_interaction(ann, "task", subject="done", done_at=NOW, user=owner)
    make_interaction(make_contact("Gone", deleted_at=NOW), "task", subject="gone", user=owner)

    found = {
        when: [task.subject for task in tasks(chosen=when, user=None, today=today)]
        for when in ("overdue", "today", "later", "all")
    }

    assert found == {"overdue": ["old"], "today": ["now"], "later": ["soon", "any"], "all": ["old", "now", "soon", "any"]}
    mine = task_counts(user=owner, today=today)
    assert (mine.overdue, mine.today, mine.later, mine.undated, mine.due) == (1, 1, 0, 1, 2)


def test_reminders_are_sent_once_to_whoever_asked(in_alice, owner, bob):
    ann = make_contact("Ann")
    task = make_interaction(ann, "task", subject="Ring", user=owner, remind_at=NOW, due_on=date(2026, 11, 21))
    make_interaction(ann, "task", subject="Later", user=owner, remind_at=NOW + timedelta(hours=1))
    make_interaction(ann, "task", subject="Done", user=owner, remind_at=NOW, done_at=NOW)
    make_interaction(ann, "task", subject="Nobody's", remind_at=NOW)
    with entered(bob):
        make_interaction(make_contact("Bob's"), "task", subject="Bob's", remind_at=NOW)

    assert send_reminders(tenant=in_alice, now=NOW) == 1
    assert send_reminders(tenant=in_alice, now=NOW) == 0

    (message,) = mail.outbox
    assert message.to == [owner.email] and message.subject == "Reminder: Ring"
    assert f"https://alice.test{task.get_absolute_url()}" in message.body and "21 November 2026" in message.body
    update_interaction(interaction=Interaction.objects.get(pk=task.pk), values={"remind_at": NOW + timedelta(minutes=1)})
    assert send_reminders(tenant=in_alice, now=NOW + timedelta(minutes=2)) == 1


# --- files ---------------------------------------------------------------------------------------------------------


def upload(name: str, data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "application/x-anything")


def test_a_file_is_sealed_on_the_disk(in_alice, owner):
    entry = make_interaction(make_contact())

    kept = add_attachment(interaction=entry, upload=upload("../../offer.pdf", b"%PDF-1.7 secret"), by=owner)

    assert (kept.name, kept.size, read_attachment(kept)) == ("offer.pdf", 15, b"%PDF-1.7 secret")
    with default_storage.open(kept.path) as sealed:
        assert b"secret" not in sealed.read()
    assert kept.path.startswith(f"{in_alice.schema_name}/crm/")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("x.exe", b"MZ", "not kept here"),
        ("x", b"data", "not kept here"),
        ("x.svg", b"<svg/>", "not kept here"),
        ("x.pdf", b"MZ\x90", "not a PDF"),
        ("x.txt", b"\0\0\0", "not a TXT"),
        ("x.txt", b"", "empty"),
    ],
)
def test_files_that_are_refused(name, data, why, in_alice, owner):
    with pytest.raises(AttachmentError, match=why):
        add_attachment(interaction=make_interaction(make_contact()), upload=upload(name, data), by=owner)
    assert not Attachment.objects.exists()


def test_a_file_that_is_too_large(in_alice, owner, settings):
    settings.ATTACHMENT_MAX_BYTES = 4
    with pytest.raises(AttachmentError, match="larger than"):
        add_attachment(interaction=make_interaction(make_contact()), upload=upload("x.txt", b"12345"), by=owner)


def test_files_go_with_what_they_were_attached_to(in_alice, owner, django_capture_on_commit_callbacks):
    entry = make_interaction(make_contact())
    kept = add_attachment(interaction=entry, upload=upload("a.txt", b"a"), by=owner)

    with django_capture_on_commit_callbacks(execute=True):
        delete_interaction(interaction=entry)

    assert not default_storage.exists(kept.path)


def test_files_are_downloads_of_this_tenant_only(visit, owner, member, stranger, in_alice):
    kept = add_attachment(interaction=make_interaction(make_contact()), upload=upload("a.txt", b"abc"), by=owner)

    answer = visit(owner).get(kept.get_absolute_url())

    assert answer.content == b"abc"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert visit(member).get(kept.get_absolute_url()).status_code == 403
    assert visit(stranger, "bob.test").get(kept.get_absolute_url()).status_code == 404


# --- pages ---------------------------------------------------------------------------------------------------------


def test_a_person_adds_changes_and_deletes_an_entry(visit, owner, in_alice):
    ann = make_contact()
    client = visit(owner)
    url = f"/crm/contacts/{ann.pk}/interactions/"

    client.post(url, {"kind": "note", "content": "Hello", "files": [upload("a.txt", b"a"), upload("x.exe", b"MZ")]})
    entry = Interaction.objects.get()
    assert (entry.content, entry.attachments.get().name) == ("Hello", "a.txt")
    page = client.get(ann.get_absolute_url()).content.decode()
    assert "Hello" in page and "a.txt" in page and "not kept here" in page
    change = {"kind": "task", "subject": "Ring", "due_on": "2026-12-01", "remind_at": "2026-12-01T09:00", "user": owner.pk}
    assert client.post(f"/crm/interactions/{entry.pk}/", change).status_code == 302
    entry.refresh_from_db()
    assert (entry.kind, entry.subject, entry.due_on, entry.user) == ("task", "Ring", date(2026, 12, 1), owner)
    assert client.post(url, {"kind": "note"}).status_code == 422
    client.post(f"/crm/interactions/{entry.pk}/delete/")
    assert not Interaction.objects.exists()


def test_times_are_the_tenants_own(visit, owner, alice, in_alice):
    alice.time_zone = "Europe/Berlin"
    alice.save()
    ann = make_contact()
    client = visit(owner)

    client.post(
        f"/crm/contacts/{ann.pk}/interactions/", {"kind": "meeting", "subject": "x", "interaction_date": "2026-07-01T10:00"}
    )

    entry = Interaction.objects.get()
    assert entry.interaction_date == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert b"2026-07-01T10:00" in client.get(f"/crm/interactions/{entry.pk}/").content


def test_a_task_is_ticked_off_on_its_page_and_opened_again(visit, owner, in_alice):
    task = make_interaction(make_contact(), "task", subject="Ring", user=owner, due_on=date(2020, 1, 1))
    client = visit(owner)
    page = client.get("/crm/tasks/").content
    assert b"Ring" in page and b"overdue" in page and b'class="nav__badge"' in page

    client.post(f"/crm/interactions/{task.pk}/done/", {"done": "yes", "from": "tasks"})
    assert b"Undo" in client.get("/crm/tasks/").content
    task.refresh_from_db()
    assert task.done_at is not None
    client.post(f"/crm/interactions/{task.pk}/done/", {"done": "no"})
    task.refresh_from_db()
    assert task.done_at is None


def test_the_bin_is_emptied_after_thirty_days(in_alice, bob, owner, django_capture_on_commit_callbacks):
    old = make_contact("Old", deleted_at=timezone.now() - timedelta(days=31))
    kept = add_attachment(interaction=make_interaction(old), upload=upload("a.txt", b"a"), by=owner)
    make_contact("Young", deleted_at=timezone.now() - timedelta(days=29))
    make_contact("Live")
    with entered(bob):
        make_contact("Bob's", deleted_at=timezone.now() - timedelta(days=90))

    with django_capture_on_commit_callbacks(execute=True):
        assert empty_bin() == 1

    assert sorted(Contact.objects.values_list("contact_name", flat=True)) == ["Live", "Young"]
    assert not default_storage.exists(kept.path)
    with entered(bob):
        assert Contact.objects.count() == 1


@pytest.mark.parametrize("when", ["9999-12-31T23:59", "0001-01-01T00:00", "0001-01-01T00:00:00+14:00", "soon"])
@pytest.mark.parametrize("field", ["interaction_date", "remind_at"])
def test_moments_nobody_can_reckon_with_are_refused(field, when, visit, owner, alice, in_alice):
    alice.time_zone = "America/New_York"
    alice.save()
    ann = make_contact()
    client = visit(owner)

    answer = client.post(f"/crm/contacts/{ann.pk}/interactions/", {"kind": "task", "subject": "x", field: when})

    assert answer.status_code == 422 and not Interaction.objects.exists()
    body = {"contact": ann.pk, "kind": "task", "subject": "x", field: when}
    assert client.post("/api/v1/interactions/", body, content_type="application/json").status_code == 400
    assert client.get(ann.get_absolute_url()).status_code == 200


def test_an_entry_goes_to_whom_its_contact_was_merged_into(in_alice, owner):
    from crm.services.merging import merge_contacts

    kept, merged = make_contact("Ann"), make_contact("Anne")
    old = make_interaction(merged, "task", subject="Ring")
    merge_contacts(kept=kept, merged=merged, take={}, by=owner)

    new = add_interaction(contact=merged, kind="task", subject="Late")
    update_interaction(interaction=old, values={"subject": "Rang"})  # read before the merge

    assert new.contact == kept
    old.refresh_from_db()
    assert (old.contact, old.subject) == (kept, "Rang")
    assert known(kept) == (None, 2)


def test_a_reminder_that_could_not_be_sent_is_tried_again(in_alice, owner, member, monkeypatch):
    import crm.services.reminders as reminders

    task = make_interaction(make_contact(), "task", user=owner, remind_at=NOW)
    make_interaction(make_contact(), "task", user=member, remind_at=NOW)  # who may not see contacts

    def away(*args: object) -> None:
        raise OSError("the mail server is away")

    original = reminders.send_mail
    monkeypatch.setattr(reminders, "send_mail", away)
    assert send_reminders(tenant=in_alice, now=NOW) == 0
    monkeypatch.setattr(reminders, "send_mail", original)
    assert send_reminders(tenant=in_alice, now=NOW) == 1
    assert [message.to for message in mail.outbox] == [[owner.email]]
    task.refresh_from_db()
    assert task.reminded_at == NOW


def test_a_file_that_is_refused_leaves_no_empty_note(visit, owner, in_alice):
    ann = make_contact()
    visit(owner).post(f"/crm/contacts/{ann.pk}/interactions/", {"kind": "note", "files": [upload("x.exe", b"MZ")]})
    assert not Interaction.objects.exists()


def test_who_is_taken_out_of_the_bin_is_not_deleted(in_alice):
    from crm.services.purging import purge_contacts

    back = make_contact()
    assert purge_contacts(ids=[back.pk], binned_before=timezone.now()) == 0
    assert Contact.objects.get() == back
