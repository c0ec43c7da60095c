"""A mailing from its first words to its report, as its pages show it."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.email.enums import MailingState, MessageState, PauseReason, SendWhen, SkipReason
from crm.email.models import EmailMessage, EmailTemplate, Mailing
from crm.email.services.links import preferences_url
from crm.email.tests.mailing_factories import NOON, make_batch, make_mailing, make_message, make_suppression, make_template
from crm.models import SavedView
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent

LIST = "/crm/email/"
NEW = "/crm/email/new/"
BUTTONS = ["change", "empty-values", "start", "pause", "resume", "cancel", "resend", "delete", "copy"]


@pytest.fixture
def people(alice):
    """Ann and Ben can be written to; Cleo has no address, Dan unsubscribed, Eve's bounced."""
    with entered(alice):
        found = {
            name: make_contact(f"{name} Example", contact_email=f"{name.lower()}@example.com" if name != "Cleo" else "")
            for name in ("Ann", "Ben", "Cleo", "Dan", "Eve")
        }
        make_suppression("dan@example.com", "unsubscribed")
        make_suppression("eve@example.com", "bounced")
    return found


@pytest.fixture
def template(alice):
    with entered(alice):
        return make_template()


@pytest.fixture
def draft(alice, owner, people, template):
    with entered(alice):
        return make_mailing(template=template, user=owner)


@pytest.fixture
def bobs(bob, stranger):
    with entered(bob):
        make_contact("Bob's secret customer", contact_email="secret@example.com")
        mailing = make_mailing("Bob's secret plans", pk=1_000_003, user=stranger)
        done = make_mailing("Bob's secret past", pk=1_000_004, state=MailingState.DONE)
        make_message(done)
        return mailing, done


@pytest.fixture
def client(visit, owner):
    return visit(owner)


def text_of(answer):
    return " ".join(answer.content.decode().split())


def plain(answer):
    """The page's words without its marks."""
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def one(tenant, mailing):
    with entered(tenant):
        return Mailing.objects.get(pk=mailing.pk)


def form(chosen, **values):
    return {"name": "Spring fair", "template": chosen.pk, "audience": "everybody", "ids": "", "query": "", **values}


# --- the list --------------------------------------------------------------------------------------------------------


def test_an_empty_list_says_what_to_do(client, bobs):
    page = client.get(LIST)

    assert "No campaigns yet" in text_of(page)
    assert "Bob" not in text_of(page)


def test_the_list_shows_states_and_figures(alice, client, bobs):
    with entered(alice):
        done = make_mailing("Loud", state=MailingState.DONE, finished_at=NOON)
        make_message(done, opened_at=NOON)
        make_message(done)
        silent = make_mailing("Silent", state=MailingState.DONE, finished_at=NOON)
        make_message(silent, state=MessageState.SENT)
        make_batch(silent, provider="smtp", size=1)
        make_mailing("Begun")

    page = text_of(client.get(LIST))

    assert page.index("Begun") < page.index("Silent") < page.index("Loud")
    loud, silent_row = page[page.index("Loud") :], page[page.index("Silent") : page.index("Loud")]
    assert "100 %" in loud and "50 %" in loud and 'badge--good"' in loud
    assert silent_row.count('class="unknown"') == 3
    assert "Draft" in page and "Bob" not in page


def test_the_list_says_when_it_went_out_not_when_somebody_started_it(alice, client):
    at = {"when": SendWhen.AT, "send_at": NOON, "started_at": NOON - timedelta(days=5)}
    with entered(alice):
        make_message(make_mailing("Gone", state=MailingState.DONE, **at), sent_at=NOON + timedelta(minutes=3))
        make_mailing("Paused", state=MailingState.PAUSED, prepared_at=None, **at)
        make_mailing("Begun", when=SendWhen.AT, send_at=NOON)

    page = client.get(LIST).content.decode()

    begun, paused, gone = (page[page.index(one) : page.index(one) + 400] for one in (">Begun<", ">Paused<", ">Gone<"))
    assert '<span class="muted">not sent</span>' in begun
    assert f'datetime="{NOON.isoformat()}"' in paused
    assert f'datetime="{(NOON + timedelta(minutes=3)).isoformat()}"' in gone


# --- beginning -------------------------------------------------------------------------------------------------------


def test_a_mailing_is_made_of_a_saved_view(alice, client, owner, template, people):
    with entered(alice):
        view = SavedView.objects.create(name="Leads", query="status=lead&sort=name", user=owner)

    answer = client.post(NEW, form(template, audience=f"view:{view.pk}"))

    with entered(alice):
        mailing = Mailing.objects.get()
        assert (mailing.name, mailing.version_id) == ("Spring fair", template.current_id)
        assert (mailing.query, mailing.contact_ids, mailing.state) == ("sort=name&status=lead", None, MailingState.DRAFT)
        assert answer.url == mailing.get_absolute_url()


def test_views_of_others_are_offered_only_when_shared(alice, client, admin, template):
    with entered(alice):
        SavedView.objects.create(name="Ada's private list", query="", user=admin)
        SavedView.objects.create(name="Ada's shared list", query="", user=admin, is_shared=True)

    page = client.get(NEW).content.decode()

    assert ("View: Ada&#x27;s shared list" in page, "private" in page) == (True, False)


def test_from_a_list_comes_what_it_showed(alice, client, template, people):
    page = client.get(f"{NEW}?query=city%3DUlm%26status%3Dlead").content.decode()

    assert 'value="city=Ulm&amp;status=lead"' in page
    assert '<option value="listed" selected>' in page
    client.post(NEW, form(template, audience="listed", query="status=lead&city=Ulm"))
    with entered(alice):
        assert Mailing.objects.get().query == "city=Ulm&status=lead"


def test_a_list_that_is_a_saved_view_is_called_by_its_name(alice, client, owner, template):
    with entered(alice):
        view = SavedView.objects.create(name="Ulm", query="city=Ulm", user=owner)

    page = client.get(f"{NEW}?query=city%3DUlm").content.decode()

    assert f'<option value="view:{view.pk}" selected>' in page


def test_a_list_without_conditions_is_everybody_and_saying_nothing_is_not(client, template):
    assert '<option value="everybody" selected>' in client.get(f"{NEW}?query=").content.decode()
    assert '<option value="everybody" selected>' not in client.get(NEW).content.decode()


def test_from_ticks_come_the_contacts(alice, client, template, people):
    ids = [people["Ann"].pk, people["Ben"].pk]
    page = client.post(NEW, {"contact": ids, "query": "status=lead", "action": ""}).content.decode()

    assert "The 2 contacts you ticked" in page
    joined = ",".join(map(str, ids))
    assert f'value="{joined}"' in page
    client.post(NEW, form(template, audience="chosen", ids=joined))
    with entered(alice):
        mailing = Mailing.objects.get()
        assert (mailing.contact_ids, mailing.query) == (ids, "")


def test_more_ticks_than_a_form_carries_are_refused_and_not_cut_off(alice, client, template):
    ids = ",".join(map(str, range(10_000_000, 10_003_000)))

    answer = client.post(NEW, form(template, audience="chosen", ids=ids))

    assert answer.status_code == 422
    assert 'role="alert"' in text_of(answer)
    assert "Choose these by a filter or a saved view instead of one by one." in text_of(answer)
    with entered(alice):
        assert not Mailing.objects.exists()


def test_nothing_ticked_is_nobody(client, template):
    answer = client.post(NEW, {"query": "", "action": ""}, follow=True)

    assert answer.redirect_chain == [("/crm/contacts/", 302)]
    assert "Choose at least one contact." in text_of(answer)


def test_recipients_are_chosen_by_a_person(client, template):
    page = client.get(NEW).content.decode()

    (choice,) = re.findall(r'<select name="audience".*?</select>', page, re.DOTALL)
    assert re.findall(r"<option[^>]*>[^<]*", choice)[0] == '<option value="" selected>Choose…'


def test_all_of_a_list_wins_over_ticks(client, template, people):
    page = client.post(NEW, {"contact": [people["Ann"].pk], "all": "yes", "query": "status=lead"}).content.decode()

    assert "you ticked" not in page
    assert '<option value="listed" selected>' in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 121}, "at most 120 characters"),
        ({"template": ""}, "This field is required."),
        ({"template": "999999"}, "Select a valid choice"),
        ({"audience": ""}, "This field is required."),
        ({"audience": "view:999999"}, "Select a valid choice"),
        ({"audience": "chosen", "ids": ""}, "Select a valid choice"),
        ({"audience": "listed", "query": "status=nonsense"}, "There is no status"),
    ],
)
def test_bad_input_is_explained_and_makes_nothing(alice, client, template, change, words):
    answer = client.post(NEW, form(template, **change))

    assert answer.status_code == 422
    assert words in text_of(answer)
    with entered(alice):
        assert not Mailing.objects.exists()


def test_without_a_usable_template_the_page_says_so(alice, client):
    with entered(alice):
        EmailTemplate.objects.update(is_active=False)

    assert "There is no template to send" in text_of(client.get(NEW))


# --- the draft -------------------------------------------------------------------------------------------------------


def test_the_draft_says_who_will_receive_it_and_who_will_not(client, draft, bobs):
    page = client.get(draft.get_absolute_url())

    words = plain(page)
    assert "2 will receive , 3 will not" in words
    assert "1 no e-mail address" in words and "1 unsubscribed" in words and "1 bounced before" in words
    assert "Send to 2" in words
    assert "Bob" not in words


@pytest.mark.parametrize(
    ("reason", "names"),
    [
        ("", ["Ann Example", "Ben Example"]),
        ("?reason=no-address", ["Cleo Example"]),
        ("?reason=unsubscribed", ["Dan Example"]),
        ("?reason=bounced", ["Eve Example"]),
        ("?reason=spam", []),
    ],
)
def test_each_number_leads_to_the_list_behind_it(client, draft, bobs, reason, names):
    page = client.get(f"{draft.get_absolute_url()}audience/{reason}").content.decode()

    assert re.findall(r"\w+ Example", page.split("</header>")[1]) == names


def test_a_long_list_has_pages(alice, client, draft, monkeypatch):
    monkeypatch.setattr("crm.email.views.mailings.AUDIENCE", 1)

    first = client.get(f"{draft.get_absolute_url()}audience/").content.decode()
    rest = re.search(r'href="\?after=(\d+)"', first)

    assert "Ann Example" in first and "Ben Example" not in first
    assert rest is not None
    second = client.get(f"{draft.get_absolute_url()}audience/?after={rest[1]}").content.decode()
    assert "Ben Example" in second and 'rel="next"' not in second


def test_there_is_no_list_for_a_made_up_reason(client, draft):
    assert client.get(f"{draft.get_absolute_url()}audience/?reason=nonsense").status_code == 404


def test_the_message_is_shown_for_real_recipients_one_after_the_other(client, draft):
    first, second = (text_of(client.get(f"{draft.get_absolute_url()}?n={number}")) for number in (1, 2))

    assert "For Ann Example" in first and "ann@example.com" in first and 'rel="next"' in first
    assert "For Ben Example" in second and 'rel="prev"' in second and 'rel="next"' not in second
    body = client.get(f"{draft.get_absolute_url()}preview/?n=2")
    assert "Hello Ben Example" in body.content.decode()
    assert "Unsubscribe" in body.content.decode()  # the footer, which the template has not


def test_the_frame_can_neither_act_nor_be_put_into_other_pages(client, draft):
    body = client.get(f"{draft.get_absolute_url()}preview/")

    policy = body["Content-Security-Policy"]
    assert "default-src 'none'" in policy and policy.endswith("sandbox") and "frame-ancestors 'self'" in policy
    assert (body["X-Frame-Options"], body["Cache-Control"]) == ("SAMEORIGIN", "no-store")


@pytest.mark.parametrize("number", ["0", "999", "nonsense", "-1", "²"])
def test_a_made_up_number_shows_somebody(client, draft, number):
    assert client.get(f"{draft.get_absolute_url()}preview/?n={number}").status_code == 200


def test_name_template_and_recipients_can_be_changed(alice, client, draft, people):
    with entered(alice):
        other = make_template("Other")

        Mailing.objects.filter(pk=draft.pk).update(contact_ids=[people["Ann"].pk])
        view = SavedView.objects.create(name="Ulm", query="city=Ulm", user=draft.user)

    client.post(f"{draft.get_absolute_url()}change/", form(other, name="New", audience=f"view:{view.pk}"))

    changed = one(alice, draft)
    assert (changed.name, changed.version_id) == ("New", other.current_id)
    assert (changed.contact_ids, changed.query) == (None, "city=Ulm")


def test_a_draft_keeps_its_contacts_however_many_they_are(alice, client, draft, template):
    many = list(range(1, 1_502))
    with entered(alice):
        Mailing.objects.filter(pk=draft.pk).update(contact_ids=many)

    page = client.get(draft.get_absolute_url()).content.decode()
    client.post(f"{draft.get_absolute_url()}change/", form(template, name="New", audience="chosen", ids="7"))

    assert '<option value="chosen" selected>The 1501 contacts you ticked' in page
    assert 'name="ids"' not in page
    changed = one(alice, draft)
    assert (changed.name, changed.contact_ids) == ("New", many)


def test_bad_changes_are_explained(alice, client, draft, template):
    answer = client.post(f"{draft.get_absolute_url()}change/", form(template, name=""))

    assert (answer.status_code, "This field is required." in text_of(answer)) == (422, True)
    assert one(alice, draft).name == "Spring fair"


def test_who_lacks_a_value_is_left_out_or_not_as_one_chooses(alice, client, people):
    with entered(alice):
        business = make_template("Business", html="<p>{{ business_name }}</p>", subject="Hello")
        draft = make_mailing(template=business)
    at = draft.get_absolute_url()

    left_out = plain(client.get(at))
    client.post(f"{at}empty-values/", {"skip": "no"})
    sent = plain(client.get(at))

    assert "Nobody would receive it" in left_out and "2 a value the text needs is missing" in left_out
    assert "2 will receive" in sent and "Leave them out" in sent
    assert one(alice, draft).skip_empty_values is False


def test_a_selection_that_is_not_understood_any_more_is_said_so(alice, client, draft):
    with entered(alice):
        Mailing.objects.update(query="cf_gone=1")

    page = client.get(draft.get_absolute_url())

    assert "There is no field" in text_of(page) and "Send to" not in text_of(page)
    assert client.get(f"{draft.get_absolute_url()}preview/").status_code == 404
    assert client.get(f"{draft.get_absolute_url()}audience/").url == draft.get_absolute_url()


# --- starting --------------------------------------------------------------------------------------------------------


def start(client, draft, **values):
    return client.post(f"{draft.get_absolute_url()}start/", {"when": "now", "seen": "2", **values})


def test_it_is_started_now(alice, client, draft, owner):
    answer = start(client, draft)

    started = one(alice, draft)
    assert answer.url == draft.get_absolute_url()
    assert (started.state, started.when) == (MailingState.PREPARING, SendWhen.NOW)
    assert started.from_email
    events = AuditEvent.objects.filter(action=AuditAction.MAILING_STARTED, tenant=alice, actor=owner)
    assert events.count() == 1


def test_a_time_is_read_in_the_tenants_zone(alice, client, draft):
    alice.time_zone = "Europe/Berlin"
    alice.save()
    day = (timezone.now() + timedelta(days=40)).date().replace(month=1, day=15)
    day = day.replace(year=day.year + 1)

    start(client, draft, when="at", send_at=f"{day}T09:30")

    started = one(alice, draft)
    assert (started.state, started.when) == (MailingState.SCHEDULED, SendWhen.AT)
    assert started.send_at is not None
    assert f"{started.send_at:%Y-%m-%d %H:%M %Z}" == f"{day} 08:30 UTC"  # winter in Berlin
    assert "09:30" in text_of(client.get(draft.get_absolute_url()))


def test_mornings_begin_with_a_day(alice, client, draft):
    day = (timezone.now() + timedelta(days=3)).date()

    start(client, draft, when="morning", morning_of=str(day))

    started = one(alice, draft)
    assert started.when == SendWhen.MORNING
    assert started.send_at is not None and started.send_at.date() == day


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"when": ""}, "This field is required."),
        ({"when": "sometime"}, "Select a valid choice"),
        ({"when": "at"}, "Say when."),
        ({"when": "at", "send_at": "nonsense"}, "nonsense"),
        ({"when": "at", "send_at": "2020-01-01T09:00"}, "This time is in the past."),
        ({"when": "morning", "morning_of": "2020-01-01"}, "This day is over."),
        ({"seen": "1"}, "more than you saw"),
    ],
)
def test_a_start_that_makes_no_sense_is_explained(alice, client, draft, values, words):
    answer = start(client, draft, **values)

    assert answer.status_code == 422
    assert words in text_of(answer)
    assert one(alice, draft).state == MailingState.DRAFT


def test_fewer_than_were_seen_is_no_surprise(alice, client, draft):
    assert start(client, draft, seen="5").status_code == 302


def test_nobody_to_write_to(alice, client, draft, people):
    with entered(alice):
        Mailing.objects.update(contact_ids=[people["Cleo"].pk])

    answer = start(client, draft)

    assert (answer.status_code, "Nobody would receive it" in text_of(answer)) == (422, True)
    assert one(alice, draft).state == MailingState.DRAFT


def test_a_template_that_is_off(alice, client, draft, template):
    with entered(alice):
        EmailTemplate.objects.filter(pk=template.pk).update(is_active=False)

    answer = start(client, draft)

    assert (answer.status_code, "The template is switched off" in text_of(answer)) == (422, True)
    assert one(alice, draft).state == MailingState.DRAFT


def test_no_way_of_sending(alice, client, draft, settings):
    settings.EMAIL_IS_DELIVERED = False

    answer = start(client, draft)

    assert (answer.status_code, "No way of sending is configured" in text_of(answer)) == (422, True)
    assert one(alice, draft).state == MailingState.DRAFT


def test_what_has_been_started_is_started_once_and_stays_as_it_is(alice, client, draft, template):
    start(client, draft)

    again = client.post(f"{draft.get_absolute_url()}start/", {"when": "now", "seen": "2"}, follow=True)
    changed = client.post(f"{draft.get_absolute_url()}change/", form(template, name="Else"), follow=True)
    deleted = client.post(f"{draft.get_absolute_url()}delete/", follow=True)

    assert "It has been started already." in text_of(again)
    assert "can no longer be changed" in text_of(changed)
    assert "stays on record" in text_of(deleted)
    assert one(alice, draft).name == "Spring fair"


def test_a_draft_is_deleted_and_copied(alice, client, draft):
    copied = client.post(f"{draft.get_absolute_url()}copy/")
    client.post(f"{draft.get_absolute_url()}delete/")

    with entered(alice):
        (left,) = Mailing.objects.all()
    assert (left.name, copied.url) == ("Spring fair (copy)", left.get_absolute_url())


# --- under way -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sending(alice, people):
    with entered(alice):
        mailing = make_mailing(state=MailingState.SENDING, started_at=timezone.now() - timedelta(minutes=2))
        make_message(mailing)
        make_message(mailing, state=MessageState.QUEUED)
        make_message(mailing, state=MessageState.SKIPPED, skip_reason=SkipReason.SPAM)
        return mailing


def test_the_page_follows_it_with_and_without_scripts(client, sending):
    page = client.get(sending.get_absolute_url()).content.decode()

    assert 'hx-trigger="every 1s"' in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page
    assert 'value="50"' in page
    assert "1</strong> of 2 dealt with" in page
    assert "speed" in page and "unknown" in page


def test_the_fragment_is_only_the_progress(client, sending):
    fragment = client.get(sending.get_absolute_url(), headers={"hx-request": "true"}).content.decode()

    assert fragment.lstrip().startswith('<section class="card" id="progress"')
    assert "<html" not in fragment


def test_when_it_is_over_the_page_changes(alice, client, sending):
    with entered(alice):
        Mailing.objects.update(state=MailingState.DONE, finished_at=timezone.now())

    assert client.get(sending.get_absolute_url(), headers={"hx-request": "true"})["HX-Refresh"] == "true"


def test_pausing_resuming_and_cancelling(alice, client, sending, owner):
    at = sending.get_absolute_url()

    client.post(f"{at}pause/")
    paused = client.get(at).content.decode()
    assert one(alice, sending).pause_reason == PauseReason.PERSON
    assert "Somebody paused it" in paused and "hx-trigger" not in paused
    client.post(f"{at}resume/")
    assert one(alice, sending).state == MailingState.SENDING
    client.post(f"{at}cancel/")

    assert one(alice, sending).state == MailingState.CANCELED
    with entered(alice):
        assert not EmailMessage.objects.filter(state=MessageState.QUEUED).exists()
    assert AuditEvent.objects.filter(action=AuditAction.MAILING_CHANGED, actor=owner).count() == 3
    for name, words in (("pause", "does not run"), ("resume", "not paused"), ("cancel", "over already")):
        assert words in text_of(client.post(f"{at}{name}/", follow=True))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (PauseReason.REFUSED, "looks after the account at the provider"),
        (PauseReason.NO_PROVIDER, "has no way of sending"),
        (PauseReason.BOUNCES, "is the list old, or bought?"),
        (PauseReason.TEMPLATE, "mend the template"),
    ],
)
def test_every_pause_says_why_and_what_to_do(alice, client, sending, reason, words):
    with entered(alice):
        Mailing.objects.update(state=MailingState.PAUSED, pause_reason=reason, error="401 <b>unauthorised</b>")

    page = text_of(client.get(sending.get_absolute_url()))

    assert words in page and reason.label in page
    assert "401 &lt;b&gt;unauthorised&lt;/b&gt;" in page


# --- afterwards ------------------------------------------------------------------------------------------------------


@pytest.fixture
def done(alice, people):
    with entered(alice):
        mailing = make_mailing("Over", state=MailingState.DONE, finished_at=NOON)
        make_message(mailing, contact=people["Ann"], opened_at=NOON, clicked_at=NOON)
        make_message(mailing, contact=people["Ben"], state=MessageState.BOUNCED, bounced_at=NOON, error="550 5.1.1 no <b>")
        make_message(mailing, contact=people["Dan"], state=MessageState.SKIPPED, skip_reason=SkipReason.UNSUBSCRIBED)
        return mailing


def test_the_report_shows_what_became_of_it(client, done, bobs):
    page = client.get(done.get_absolute_url())

    words = plain(page)
    assert "2 recipients, 1 left out" in words
    assert "50 % delivered: 1" in words and "100 % opened: about 1" in words and "50 % bounced: 1" in words
    assert "Opens are an estimate" in words
    assert "The address does not exist (5.1.1)" in words
    assert "Bob" not in words


def test_a_report_without_events_says_unknown_rather_than_zero(alice, client, done):
    with entered(alice):
        make_batch(done, provider="smtp", size=2)
        EmailMessage.objects.filter(mailing=done).update(
            state=MessageState.SENT, opened_at=None, clicked_at=None, bounced_at=None
        )

    words = plain(client.get(done.get_absolute_url()))

    assert "Nothing reports here what becomes of these messages" in words
    assert words.count("unknown delivered") == words.count("unknown opened") == words.count("unknown bounced") == 1
    assert "0 %" not in words


def test_answers_nobody_can_hear_are_unknown(client, done, monkeypatch, settings):
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "")
    deaf = plain(client.get(done.get_absolute_url()))
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "reply.example")
    hearing = plain(client.get(done.get_absolute_url()))

    assert "answers unknown · 0 unsubscribed" in deaf
    assert "0 answered · 0 unsubscribed" in hearing


def test_what_was_sent_cannot_be_deleted_and_its_links_keep_working(alice, client, done, people):
    answer = client.post(f"{done.get_absolute_url()}delete/", follow=True)

    assert "stays on record" in text_of(answer)
    assert "/delete/" not in client.get(done.get_absolute_url()).content.decode()
    with entered(alice):
        link = urlsplit(preferences_url(EmailMessage.objects.get(contact=people["Ann"]).pk)).path
    assert Client(headers={"host": "mail.example"}).get(link).status_code == 200


def test_what_is_long_is_read_for_drafts_only(client, draft, done, sending):
    def reads(mailing):
        with CaptureQueriesContext(connection) as queries:
            client.get(mailing.get_absolute_url())
        return any('"contact_ids"' in query["sql"] for query in queries)

    assert [reads(mailing) for mailing in (draft, sending, done)] == [True, False, False]


def test_a_failed_mailing_says_that_nothing_was_sent(alice, client):
    with entered(alice):
        failed = make_mailing(state=MailingState.FAILED, prepared_at=None, error="There is no field “gone”.")

    words = plain(client.get(failed.get_absolute_url()))

    assert "It could not be prepared: There is no field “gone”. Nothing was sent." in words


def test_recipients_are_listed_by_what_became_of_theirs(client, done):
    at = f"{done.get_absolute_url()}messages/"

    def names(query):
        return sorted(re.findall(r"(\w+) Example</a>", client.get(f"{at}{query}").content.decode()))

    assert names("") == ["Ann", "Ben", "Dan"]
    assert names("?state=bounced") == ["Ben"]
    assert names("?reason=unsubscribed") == ["Dan"]
    assert names("?state=queued") == []
    assert names("?state=nonsense&after=nonsense") == ["Ann", "Ben", "Dan"]


def test_the_report_can_be_downloaded(alice, client, done, owner, bobs):
    with entered(alice):
        EmailMessage.objects.filter(state=MessageState.BOUNCED).update(error="=cmd()")

    answer = client.get(f"{done.get_absolute_url()}report.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))

    assert sorted((row["Name"], row["E-mail"], row["State"]) for row in rows) == [
        ("Ann Example", "ann@example.com", "Delivered"),
        ("Ben Example", "ben@example.com", "Bounced"),
        ("Dan Example", "dan@example.com", "Left out"),
    ]
    by_name = {row["Name"]: row for row in rows}
    assert by_name["Ben Example"]["What the receiving server said"] == "'=cmd()"
    assert by_name["Dan Example"]["Left out because"] == "Unsubscribed"
    assert by_name["Ann Example"]["First click"] == "2026-11-20 12:00:00"
    assert AuditEvent.objects.filter(action=AuditAction.CONTACTS_EXPORTED, actor=owner).count() == 1


def test_a_long_report_is_read_in_pieces(client, done, monkeypatch):
    monkeypatch.setattr("crm.email.selectors.exports.ROWS", 1)

    answer = client.get(f"{done.get_absolute_url()}report.csv")

    assert len(list(answer)) == 4  # the header, and a piece for each


# --- walls -----------------------------------------------------------------------------------------------------------


def test_another_tenants_mailings_are_not_found(client, bobs, bob):
    for mailing in bobs:
        at = mailing.get_absolute_url()
        assert [
            client.get(f"{at}{path}").status_code for path in ("", "audience/", "preview/", "messages/", "report.csv")
        ] == [404] * 5
        assert {client.post(f"{at}{name}/").status_code for name in BUTTONS} == {404}
    with entered(bob):
        assert sorted(Mailing.objects.values_list("state", flat=True)) == ["done", "draft"]


def test_members_and_strangers_change_nothing(alice, visit, draft, member, stranger):
    at = draft.get_absolute_url()
    for user, code in ((member, 403), (stranger, 404)):
        assert {visit(user).post(f"{at}{name}/").status_code for name in BUTTONS} == {code}
        assert visit(user).get(at).status_code == code

    assert one(alice, draft).state == MailingState.DRAFT


def test_wrong_methods(client, draft):
    at = draft.get_absolute_url()

    assert {client.get(f"{at}{name}/").status_code for name in BUTTONS} == {405}
    assert {client.post(path).status_code for path in (LIST, at, f"{at}audience/", f"{at}report.csv")} == {405}


# --- what was never answered -----------------------------------------------------------------------------------------


@pytest.fixture
def unanswered(alice, people, template):
    """A mailing that is done but for two messages nobody knows anything of."""
    with entered(alice):
        mailing = make_mailing(template=template, state=MailingState.DONE, finished_at=NOON)
        lost = make_batch(mailing, state="unknown", asked_at=NOON, size=2)
        for name in ("Ann", "Ben"):
            make_message(mailing, contact=people[name], state=MessageState.UNKNOWN, batch=lost)
    return mailing


def test_who_may_not_have_got_it_is_shown_with_a_way_out(alice, client, unanswered):
    at = unanswered.get_absolute_url()

    assert f'href="{at}messages/?state=unknown"' in text_of(client.get(at))
    assert f'action="{at}resend/"' in text_of(client.get(f"{at}messages/?state=unknown"))
    assert "resend" not in text_of(client.get(f"{at}messages/"))

    page = client.post(f"{at}resend/", follow=True)

    assert "2 messages will be sent again." in plain(page)
    assert one(alice, unanswered).state == MailingState.SENDING
    assert "nothing to send again" in plain(client.post(f"{at}resend/", follow=True))


def test_what_was_cancelled_is_not_offered_again(alice, client, unanswered):
    with entered(alice):
        Mailing.objects.filter(pk=unanswered.pk).update(state=MailingState.CANCELED)

    assert "resend" not in text_of(client.get(f"{unanswered.get_absolute_url()}messages/?state=unknown"))
    assert "nothing to send again" in plain(client.post(f"{unanswered.get_absolute_url()}resend/", follow=True))
