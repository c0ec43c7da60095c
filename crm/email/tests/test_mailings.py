from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.email.enums import DomainState, MailingState, MessageState, PauseReason, SendWhen
from crm.email.models import EmailDomain, EmailMessage, EmailTemplateVersion, Mailing
from crm.email.models.setup import email_settings
from crm.email.services import mailings
from crm.email.services.mailings import (
    MailingError,
    cancel_mailing,
    change_mailing,
    copy_mailing,
    create_mailing,
    delete_mailing,
    pause_mailing,
    resume_mailing,
    start_mailing,
)
from crm.email.tasks import sending as tasks
from crm.email.tests.mailroom import make_contacts, make_mailing, make_template, sent, started, states
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent


@pytest.fixture
def published(monkeypatch):
    found = []
    monkeypatch.setattr(mailings, "publish", lambda task, **kwargs: found.append((task.name, kwargs["mailing_id"])))
    return found


def trail(tenant):
    return list(
        AuditEvent.objects.filter(tenant=tenant, action__startswith="mailing")
        .order_by("pk")
        .values_list("action", "target", "actor__email")
    )


def test_a_draft_names_its_contacts_once_and_in_order(in_alice, owner):
    mailing = create_mailing(name=" My  news ", template=make_template(), contact_ids=[3, 1, 3], query="q=x", by=owner)

    assert (mailing.name, mailing.contact_ids, mailing.query) == ("My news", [1, 3], "")
    assert (mailing.state, mailing.user) == (MailingState.DRAFT, owner)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"contact_ids": []}, "contact_ids"),
        ({"contact_ids": None, "query": "status=nonsense"}, "query"),
        ({"contact_ids": None, "query": "q=" + "x" * 2000}, "query"),
    ],
)
def test_drafts_that_make_no_sense(in_alice, values, field):
    with pytest.raises(MailingError) as caught:
        create_mailing(**{"name": "x", "template": make_template(), "contact_ids": [1], "query": "", "by": None, **values})
    assert caught.value.field == field
    assert Mailing.objects.count() == 0


def test_a_draft_can_be_changed(in_alice):
    mailing = make_mailing(make_contacts(1))
    other = make_template("Other")

    change_mailing(
        mailing=mailing, name="New", template=other, contact_ids=None, query="status=lead", skip_empty_values=False
    )

    mailing.refresh_from_db()
    assert (mailing.name, mailing.version, mailing.contact_ids) == ("New", other.current, None)
    assert (mailing.query, mailing.skip_empty_values) == ("status=lead", False)
    with pytest.raises(TypeError):
        change_mailing(mailing=mailing, state="done")


def test_what_was_started_is_not_changed_deleted_or_started_again(in_alice, published):
    mailing = make_mailing(make_contacts(1))
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)

    for act in (
        lambda: change_mailing(mailing=mailing, name="x"),
        lambda: delete_mailing(mailing=mailing, by=None),
        lambda: start_mailing(mailing=mailing, when=SendWhen.NOW, by=None),
    ):
        with pytest.raises(MailingError, match="started"):
            act()


def test_starting_settles_text_sender_and_selection(
    alice, in_alice, owner, published, django_capture_on_commit_callbacks, settings
):
    template = make_template("Old", "<p>Old</p>", variables=[])
    mailing = make_mailing(make_contacts(2), template=template)
    newer = EmailTemplateVersion.objects.create(template=template, number=2, subject="New", html="<p>New</p>")
    template.current = newer
    template.save()
    now = timezone.now()

    with django_capture_on_commit_callbacks(execute=True):
        start_mailing(mailing=mailing, when=SendWhen.NOW, by=owner, now=now)

    mailing.refresh_from_db()
    newest = make_contact().pk - 1
    assert (mailing.state, mailing.version, mailing.newest) == (MailingState.PREPARING, newer, newest)
    assert (mailing.from_email, mailing.from_name) == (settings.ENV.smtp_from_email, in_alice.name)
    assert (mailing.started_at, mailing.footer_html) == (now, email_settings().footer_html)
    assert published == [("crm_email.prepare_mailing", mailing.pk)]
    assert trail(alice) == [(AuditAction.MAILING_STARTED, f"mailing {mailing.pk} started", owner.email)]


def test_at_a_time(in_alice, published, django_capture_on_commit_callbacks):
    now = timezone.now()
    mailing = make_mailing(make_contacts(1))
    for send_at, words in ((None, "Say at what time"), (now - timedelta(seconds=1), "has passed")):
        with pytest.raises(MailingError, match=words):
            start_mailing(mailing=mailing, when=SendWhen.AT, send_at=send_at, by=None, now=now)

    with django_capture_on_commit_callbacks(execute=True):
        start_mailing(mailing=mailing, when=SendWhen.AT, send_at=now + timedelta(hours=1), by=None, now=now)

    mailing.refresh_from_db()
    assert (mailing.state, published) == (MailingState.SCHEDULED, [])


@pytest.mark.parametrize("change", [{"is_active": False}, {"deleted_at": timezone.now()}])
def test_a_template_that_may_not_be_used(in_alice, change):
    mailing = make_mailing(make_contacts(1))
    type(mailing.version.template).objects.filter(pk=mailing.version.template_id).update(**change)

    with pytest.raises(MailingError) as caught:
        start_mailing(mailing=Mailing.objects.get(pk=mailing.pk), when=SendWhen.NOW, by=None)
    assert caught.value.field == "template"


def test_pause_and_resume_while_sending(alice, in_alice, owner, providers, published, django_capture_on_commit_callbacks):
    make_contacts(3)
    mailing = started(make_mailing())

    assert pause_mailing(mailing=mailing, reason=PauseReason.PERSON, by=owner)
    assert not pause_mailing(mailing=mailing, reason=PauseReason.PERSON, by=owner)
    sent(mailing)
    assert (mailing.state, states(mailing), providers.mail.accepted) == (MailingState.PAUSED, {"queued": 3}, 0)

    published.clear()
    with django_capture_on_commit_callbacks(execute=True):
        assert resume_mailing(mailing=mailing, by=owner)
    assert not resume_mailing(mailing=mailing, by=owner)
    sent(mailing)

    assert (mailing.state, mailing.pause_reason, states(mailing)) == (MailingState.DONE, "", {"sent": 3})
    assert published == [("crm_email.send_mailing", mailing.pk)]
    assert [target for _, target, _ in trail(alice)][1:] == [
        f"mailing {mailing.pk} paused: Paused by a person",
        f"mailing {mailing.pk} resumed",
    ]


@pytest.mark.parametrize("state", [DomainState.VERIFIED, DomainState.LOST, None])
def test_a_lost_or_removed_domain_is_not_written_from_after_a_pause(alice, in_alice, bob, published, settings, state):
    domain = EmailDomain.objects.create(domain="acme.example", state=DomainState.VERIFIED)
    with entered(bob):
        EmailDomain.objects.create(domain="acme.example", state=DomainState.VERIFIED)
    make_contacts(2)
    mailing = started(make_mailing())
    before, after = f"hello@{domain}", settings.ENV.smtp_from_email
    Mailing.objects.update(from_email=before)
    EmailMessage.objects.update(from_email=before)
    EmailMessage.objects.filter(pk=EmailMessage.objects.first().pk).update(state=MessageState.SENT)
    pause_mailing(mailing=mailing, reason=PauseReason.REFUSED)
    EmailDomain.objects.filter(pk=domain.pk).update(state=state) if state else domain.delete()

    resume_mailing(mailing=mailing, by=None)

    mailing.refresh_from_db()
    is_kept = state == DomainState.VERIFIED
    assert mailing.from_email == (before if is_kept else after)
    assert dict(EmailMessage.objects.values_list("state", "from_email")) == {
        "sent": before,
        "queued": before if is_kept else after,
    }


def test_a_scheduled_mailing_is_prepared_with_a_sender_that_may_be_used(in_alice, published, settings):
    domain = EmailDomain.objects.create(domain="acme.example", state=DomainState.VERIFIED)
    make_contacts(1)
    mailing = make_mailing()
    now = timezone.now()
    start_mailing(mailing=mailing, when=SendWhen.AT, send_at=now + timedelta(hours=1), by=None)
    mailing.refresh_from_db()
    assert mailing.from_email.endswith("@acme.example")
    domain.delete()
    Mailing.objects.update(state=MailingState.PREPARING)

    tasks.prepare_mailing.apply(kwargs={"mailing_id": mailing.pk}).get()

    mailing.refresh_from_db()
    message = mailing.messages.get()
    assert mailing.from_email == message.from_email == settings.ENV.smtp_from_email


def test_pause_before_it_is_prepared(in_alice, published):
    mailing = make_mailing(make_contacts(1))
    start_mailing(mailing=mailing, when=SendWhen.NOW, by=None)

    pause_mailing(mailing=mailing, reason=PauseReason.PERSON)
    resume_mailing(mailing=mailing, by=None)

    mailing.refresh_from_db()
    assert mailing.state == MailingState.PREPARING


@pytest.mark.parametrize(("hours", "state"), [(1, MailingState.SCHEDULED), (3, MailingState.PREPARING)])
def test_pause_of_a_scheduled_one(in_alice, published, hours, state):
    now = timezone.now()
    mailing = make_mailing(make_contacts(1))
    start_mailing(mailing=mailing, when=SendWhen.AT, send_at=now + timedelta(hours=2), by=None)

    pause_mailing(mailing=mailing, reason=PauseReason.PERSON)
    resume_mailing(mailing=mailing, by=None, now=now + timedelta(hours=hours))

    mailing.refresh_from_db()
    assert mailing.state == state


@pytest.mark.parametrize("paused", [False, True])
def test_cancel_ends_what_waits(alice, in_alice, bob, owner, providers, paused):
    with entered(bob):
        make_contacts(2)
        theirs = started(make_mailing())
    make_contacts(2)
    mailing = started(make_mailing())
    if paused:
        pause_mailing(mailing=mailing, reason=PauseReason.PERSON)

    assert cancel_mailing(mailing=mailing, by=owner)
    assert not cancel_mailing(mailing=mailing, by=owner)
    sent(mailing)

    assert (mailing.state, states(mailing), providers.mail.accepted) == (MailingState.CANCELED, {"canceled": 2}, 0)
    assert trail(alice)[-1] == (AuditAction.MAILING_CHANGED, f"mailing {mailing.pk} cancelled", owner.email)
    with entered(bob):
        assert states(theirs) == {"queued": 2}


def test_drafts_are_not_cancelled_but_deleted(in_alice):
    mailing = make_mailing(make_contacts(1))

    assert not cancel_mailing(mailing=mailing, by=None)
    delete_mailing(mailing=mailing, by=None)

    assert Mailing.objects.count() == 0
    with pytest.raises(MailingError):
        change_mailing(mailing=mailing, name="x")


def test_a_copy_is_a_draft_with_the_newest_text(in_alice, owner, providers):
    template = make_template()
    mailing = sent(started(make_mailing(make_contacts(1), template=template)))
    newer = EmailTemplateVersion.objects.create(template=template, number=2, subject="New", html="<p>New</p>")
    template.current = newer
    template.save()

    copy = copy_mailing(mailing=Mailing.objects.get(pk=mailing.pk), by=owner)

    assert (copy.name, copy.state, copy.version) == ("November (copy)", MailingState.DRAFT, newer)
    assert (copy.contact_ids, copy.started_at, copy.prepared_at, copy.user) == (mailing.contact_ids, None, None, owner)
    assert states(copy) == {}
    assert states(mailing) == {MessageState.SENT: 1}
