"""The pages: what they show, what their buttons do, and to whom."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from crm.email.enums import EnrolmentState, MessageState, StepCondition
from crm.email.models import EmailMessage, EmailTemplate, Enrolment, SendBatch, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import EnrolJob
from crm.email.models.setup import email_settings
from crm.email.selectors.sequences import condition_words
from crm.email.services.advancing import advance_due
from crm.email.services.enrolling import run_enrol_job, start_enrol_job
from crm.email.tests.sequencing import NOW, draft, enrol, make_message, make_sequence, template
from crm.models import SavedView
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent

LIST = "/crm/email/sequences/"


@pytest.fixture
def page(visit, owner):
    return visit(owner)


@pytest.fixture
def sequence(alice):
    with entered(alice):
        return make_sequence()


@pytest.fixture
def bobs(bob):
    with entered(bob):
        sequence = make_sequence(name="Bob's secret project")
        enrol(sequence)
        job = start_enrol_job(sequence=sequence, ids=[1], query="", by=None)
    return sequence, job


def text_of(response) -> str:
    body = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", body)


def step_data(*steps, **others) -> dict[str, str]:
    """A form as a browser sends it."""
    plain = {"key": "n1", "amount": "1", "unit": "days", "condition": "always", "status": "", "otherwise": "skip"}
    data = {"name": "Spring", "is_active": "on", "steps-TOTAL_FORMS": str(len(steps)), "steps-INITIAL_FORMS": "0"}
    for number, step in enumerate(steps):
        data |= {f"steps-{number}-{name}": str(value) for name, value in (plain | {"key": f"n{number + 1}"} | step).items()}
    return data | others


# --- walls -----------------------------------------------------------------------------------------------------------


def test_a_sequence_of_another_organisation_does_not_exist(page, sequence, bobs, bob):
    theirs, job = bobs
    with entered(bob):
        before = list(Enrolment.objects.values())
        far = max(theirs.pk, sequence.pk) + 50  # ids are counted by each organisation for itself: one Alice has not
        EmailSequence.objects.create(pk=far, name="Bob's other secret")
    for path in ("", "edit/", "enrol/"):
        assert page.get(f"{LIST}{far}/{path}").status_code == 404
    for path in ("switch/", "delete/", "stop/", f"jobs/{job.pk}/cancel/", "enrolments/1/stop/"):
        assert page.post(f"{LIST}{far}/{path}").status_code == 404
    assert "secret" not in page.get(LIST).content.decode()
    assert "secret" not in page.get(f"{LIST}choose/").content.decode()
    with entered(bob):
        assert list(Enrolment.objects.values()) == before


def test_an_enrolment_or_job_of_another_sequence_is_not_found_under_this_one(page, sequence, alice, owner):
    with entered(alice):
        other = make_sequence(name="Other")
        enrolment, job = enrol(other), start_enrol_job(sequence=other, ids=[1], query="", by=owner)

    assert page.post(f"{LIST}{sequence.pk}/enrolments/{enrolment.pk}/stop/").status_code == 404
    assert page.get(f"{LIST}{sequence.pk}/jobs/{job.pk}/").status_code == 404
    assert page.post(f"{LIST}{sequence.pk}/jobs/{job.pk}/cancel/").status_code == 404


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_first_visit_says_what_a_sequence_is(page, bobs):
    body = text_of(page.get(LIST))

    assert "Write once, follow up by itself" in body
    assert "No sequences yet" in text_of(page.get(f"{LIST}choose/"))


def make_sent(enrolment, provider="sendgrid", **facts):
    batch = SendBatch.objects.create(provider=provider)
    values = {"track_opens": True, "track_clicks": True, **facts}
    return make_message(enrolment, MessageState.DELIVERED, batch=batch, **values)


def test_the_list_shows_what_was_measured(page, alice, sequence, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "inbound_email_host", "reply.example")
    with entered(alice):
        for number in range(4):
            facts = {"opened_at": NOW} if number < 3 else {}
            make_sent(enrol(sequence, number), **facts, replied_at=NOW if number == 0 else None)
        make_sequence(name="Autumn", is_active=False)

    response = page.get(LIST)

    rows = {row.sequence.name: row for row in response.context["rows"]}
    spring, autumn = rows["Spring"], rows["Autumn"]
    assert (spring.enrolled, spring.running, spring.sent, spring.replied.share) == (4, 4, 4, 0.25)
    assert [step.opened.share for step in spring.steps] == [0.75, None, None]
    assert (autumn.enrolled, autumn.sent, autumn.replied.share) == (0, 0, None)
    assert list(rows) == ["Spring", "Autumn"]  # those that run come first


def test_what_nobody_can_know_is_unknown(page, alice, sequence):
    with entered(alice):
        make_sent(enrol(sequence), provider="smtp")

    view = page.get(sequence.get_absolute_url()).context["view"]

    figures = view.steps[0].figures
    assert (figures.sent, figures.opened.count, figures.clicked.count, figures.replied.count) == (1, None, None, None)
    assert view.replied.is_unknown
    with entered(alice):
        EmailMessage.objects.update(batch=SendBatch.objects.create(provider="sendgrid"), track_opens=False)
    figures = page.get(sequence.get_absolute_url()).context["view"].steps[0].figures
    assert (figures.opened.count, figures.clicked.count) == (None, 0)


def test_figures_are_of_what_was_noticed_when_it_was_sent(page, alice, sequence):
    with entered(alice):
        for number, is_noticed in enumerate((True, True, False)):
            make_sent(enrol(sequence, number), track_opens=is_noticed, opened_at=None if number else NOW)
        settings_row = email_settings()
        settings_row.track_opens = settings_row.track_clicks = False  # today's
        settings_row.save()

    figures = page.get(sequence.get_absolute_url()).context["view"].steps[0].figures

    assert (figures.opened.count, figures.opened.of, figures.clicked.count, figures.clicked.of) == (1, 2, 0, 3)


def test_a_sequence_explains_itself(page, alice):
    with entered(alice):
        sequence = make_sequence(
            draft(),
            draft(36, "follow-up", condition="not-opened"),
            draft(48, "invoice-reminder", condition="status-is", status="customer", otherwise="end"),
        )
        enrol(sequence)
        email_settings()
        EmailTemplate.objects.filter(key="follow-up").update(is_active=False)

    response = page.get(sequence.get_absolute_url())

    body = text_of(response)
    assert [step.words for step in response.context["view"].steps] == [
        "At once: send “Welcome”.",
        "After 36 hours, if the previous e-mail was not opened: send “Follow-up”. Otherwise go on with the next step.",
        "After 2 days, if the status is “Customer”: send “Invoice reminder”. Otherwise the sequence ends.",
    ]
    assert "The template of step 2 is switched off" in body
    assert "Person 1" in body and "1 on the way to it" in body


def test_conditions_that_nothing_can_tell_of_are_warned_about(page, alice):
    with entered(alice):
        sequence = make_sequence(draft(), draft(24, condition="opened"), draft(24, condition="clicked", key="follow-up"))
        settings_row = email_settings()
        settings_row.track_opens = settings_row.track_clicks = False
        settings_row.save()

    warnings = page.get(sequence.get_absolute_url()).context["view"].warnings

    assert [("opens" in text, "clicks" in text) for text in warnings[:2]] == [(True, False), (False, True)]


def test_enrolments_are_filtered_and_paged(page, alice, sequence):
    with entered(alice):
        for number in range(45):
            enrol(sequence, number)
        stopped = Enrolment.objects.order_by("pk").first()
        Enrolment.objects.filter(pk=stopped.pk).update(state=EnrolmentState.REPLIED)

    first = page.get(sequence.get_absolute_url()).context["page"]
    active = page.get(f"{sequence.get_absolute_url()}?state=active&page=2")
    replied = page.get(f"{sequence.get_absolute_url()}?state=replied").context["page"]

    assert (len(first), first.paginator.count) == (40, 45)
    assert (len(active.context["page"]), active.context["page"].paginator.count) == (4, 44)
    assert "?state=active&amp;page=1" in active.content.decode()
    assert [row.pk for row in replied] == [stopped.pk]
    assert page.get(f"{sequence.get_absolute_url()}?state=nonsense").context["page"].paginator.count == 45


def test_pages_ask_as_much_for_many_as_for_few(page, alice, sequence):
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page.get(path).status_code == 200
        return len(queries)

    with entered(alice):
        make_sent(enrol(sequence))
    few = [count(LIST), count(sequence.get_absolute_url())]
    with entered(alice):
        for number in range(2, 6):
            make_sent(enrol(make_sequence(name=f"S{number}"), number))
            enrol(sequence, 10 + number)

    assert [count(LIST), count(sequence.get_absolute_url())] == few


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_sequence_is_written(page, alice, bob):
    with entered(alice):
        welcome, follow_up = template().pk, template("follow-up").pk

    response = page.post(
        f"{LIST}new/",
        step_data(
            {"template": welcome, "amount": 0},
            {"template": follow_up, "amount": 36, "unit": "hours", "condition": "status-is", "status": "lead"},
        ),
    )

    with entered(alice):
        sequence = EmailSequence.objects.get()
        steps = SequenceStep.objects.values_list("wait_hours", "template", "condition", "status")
        assert list(steps) == [(0, welcome, "always", ""), (36, follow_up, "status-is", "lead")]
    assert (response.status_code, response["Location"]) == (302, sequence.get_absolute_url())
    assert sequence.is_active
    with entered(bob):
        assert not EmailSequence.objects.exists()


@pytest.mark.parametrize(
    ("steps", "others", "text"),
    [
        ([{"condition": "opened"}], {}, "There is no e-mail before the first one."),
        ([{}, {"condition": "opened", "amount": 0}], {}, "Give them at least an hour"),
        ([{"condition": "status-is"}], {}, "Choose a status."),
        ([{"template": ""}], {}, "This field is required."),
        ([{"template": 999_999}], {}, "Select a valid choice"),
        ([{"amount": -1}], {}, "greater than or equal to 0"),
        ([{"amount": 366}], {}, "Wait a year at most."),
        ([{"condition": "nonsense"}], {}, "Select a valid choice"),
        ([{"key": "'; drop"}], {}, "Enter a valid value"),
        ([{}], {"name": ""}, "This field is required."),
        ([], {}, "Write at least one step"),
        ([{"key": "999999"}], {}, "One of the steps is gone"),
        ([{}] * 31, {}, "at most 30"),
        ([{}], {"steps-TOTAL_FORMS": "x"}, "ManagementForm data is missing"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(page, alice, steps, others, text):
    with entered(alice):
        welcome = template().pk

    response = page.post(f"{LIST}new/", step_data(*({"template": welcome} | step for step in steps), **others))

    assert response.status_code == 422
    assert text in text_of(response).replace("&#x27;", "'")
    if "name" not in others:
        assert 'value="Spring"' in response.content.decode()
    with entered(alice):
        assert not EmailSequence.objects.exists()


@pytest.mark.parametrize(
    ("action", "keys"),
    [
        ("up-1", ["n2", "n1", "n3"]),
        ("up-0", ["n1", "n2", "n3"]),
        ("down-1", ["n1", "n3", "n2"]),
        ("down-2", ["n1", "n2", "n3"]),
        ("remove-0", ["n2", "n3"]),
        ("add", ["n1", "n2", "n3", "n4"]),
        ("remove-99", ["n1", "n2", "n3"]),
        ("up-²", ["n1", "n2", "n3"]),
        ("nonsense", ["n1", "n2", "n3"]),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_buttons_move_steps_without_saving_or_losing_what_was_typed(page, alice, action, keys, htmx):
    data = step_data({"amount": "seven"}, {}, {"unit": "hours"}, name="Not yet", do=action)

    response = page.post(f"{LIST}new/", data, headers={"hx-request": "true"} if htmx else {})

    body = response.content.decode()
    assert response.status_code == 200
    assert re.findall(r'name="steps-\d+-key" value="(\w+)"', body) == keys
    assert ('value="seven"' in body) == ("n1" in keys)
    assert ("<html" in body) is not htmx
    if not htmx:
        assert 'value="Not yet"' in body
    with entered(alice):
        assert not EmailSequence.objects.exists()


def test_editing_shows_what_is_there_and_warns_of_who_is_on_the_way(page, alice, sequence):
    with entered(alice):
        enrol(sequence)

    response = page.get(f"{sequence.get_absolute_url()}edit/")

    amounts = [(form["amount"].value(), form["unit"].value()) for form in response.context["steps"].forms]
    assert amounts == [(0, "days"), (1, "days"), (2, "days")]
    assert "1 person is on the way through it" in text_of(response)


def test_an_edit_that_came_second_is_told(page, alice, sequence):
    with entered(alice):
        step = sequence.steps.first()
        steps = [{"key": step.pk, "template": step.template_id}]

    first = page.post(f"{sequence.get_absolute_url()}edit/", step_data(*steps, name="One", version=str(sequence.version)))
    second = page.post(f"{sequence.get_absolute_url()}edit/", step_data(*steps, name="Two", version=str(sequence.version)))

    assert (first.status_code, second.status_code) == (302, 422)
    assert "Somebody changed this sequence meanwhile" in text_of(second)
    with entered(alice):
        assert EmailSequence.objects.get().name == "One"


def test_switching_deleting_and_stopping(page, alice, sequence, bobs, owner):
    with entered(alice):
        one, two = enrol(sequence), enrol(sequence, 2)
    at = sequence.get_absolute_url()

    page.post(f"{at}switch/", {"is_active": "no"})
    with entered(alice):
        assert not EmailSequence.objects.get().is_active
    page.post(f"{at}switch/", {"is_active": "yes"})
    page.post(f"{at}enrolments/{one.pk}/stop/")
    with entered(alice):
        assert EmailSequence.objects.get().is_active
        assert dict(Enrolment.objects.values_list("pk", "state")) == {one.pk: "stopped", two.pk: "active"}
    again = page.post(f"{at}enrolments/{one.pk}/stop/", {"back": "contact"}, follow=True)
    assert "It is over already." in text_of(again)
    assert again.redirect_chain[0][0] == reverse("email:contact-sequences", args=[one.contact_id])
    assert "Stopped for 1 person." in text_of(page.post(f"{at}stop/", follow=True))
    page.post(f"{at}delete/")
    assert page.get(at).status_code == 404
    targets = AuditEvent.objects.filter(tenant=alice, actor=owner, action=AuditAction.SEQUENCE_CHANGED)
    assert list(targets.order_by("pk").values_list("target", flat=True)) == [
        "switched off: Spring",
        "switched on: Spring",
        f"contact {one.contact_id} out of Spring",
        "everybody out of Spring: 1",
        "deleted: Spring",
    ]


# --- enrolling -------------------------------------------------------------------------------------------------------


def test_a_view_is_looked_at_then_enrolled_then_watched(page, alice, bob, sequence, owner):
    with entered(bob):
        make_contact("Bob's contact", city="Ulm", contact_email="b@example.com")
    with entered(alice):
        SavedView.objects.create(name="In Ulm", query="city=ulm", user=owner)
        for number in range(3):
            make_contact(f"P{number}", city="Ulm", contact_email=f"p{number}@example.com")
        make_contact("Twice", city="Ulm", contact_email="p0@example.com")
        silent = make_contact("Silent", city="Ulm", contact_email="s@example.com", do_not_mail=True)
        make_contact("Elsewhere", contact_email="e@example.com")
    at = f"{sequence.get_absolute_url()}enrol/"

    assert "?query=city%3Dulm" in page.get(at).content.decode()
    preview = page.get(f"{at}?query=city%3Dulm").context["preview"]
    started = page.post(at, {"query": "city=ulm", "start_at": "2027-01-04T09:00"})
    with entered(alice):
        job = EnrolJob.objects.get()
        run_enrol_job(job_id=job.pk)
    shown = page.get(started["Location"])

    assert (preview.total, preview.new, preview.known) == (5, 3, 0)
    assert dict(preview.left_out) == {"do-not-mail": 1, "same-address": 1}
    assert job.start_at == datetime.fromisoformat("2027-01-04T09:00:00+00:00").replace(tzinfo=job.start_at.tzinfo)
    assert "3 enrolled" in text_of(shown) and "Silent" in text_of(shown) and "Bob" not in text_of(shown)
    only = page.get(f"{started['Location']}?reason=do-not-mail").context["page"]
    assert [row.contact_id for row in only] == [silent.pk]
    assert "<html" not in page.get(started["Location"], headers={"hx-request": "true"}).content.decode()
    preview = page.get(f"{at}?query=city%3Dulm").context["preview"]
    assert (preview.new, preview.known) == (0, 3)


def test_when_enrolments_begin_is_said_in_the_tenants_zone(page, alice, sequence, owner):
    alice.time_zone = "Asia/Tokyo"
    alice.save(update_fields=["time_zone"])
    at = (timezone.now() + timedelta(days=3)).replace(hour=9, minute=0)
    with entered(alice):
        job = start_enrol_job(sequence=sequence, ids=[1], query="", start_at=at, by=owner)

    body = text_of(page.get(job.get_absolute_url()))

    assert ", 18:00" in body and ", 09:00" not in body


def test_ticked_contacts_come_from_the_list_and_are_kept_by_their_ids(page, alice, sequence):
    with entered(alice):
        ids = [make_contact(f"P{number}", contact_email=f"p{number}@example.com").pk for number in range(3)]
    query = "&".join(f"id={pk}" for pk in ids[:2])

    choosing = page.get(f"{LIST}choose/", {"query": query})
    assert f"/enrol/?query=id%3D{ids[0]}%26id%3D{ids[1]}" in choosing.content.decode()
    page.post(f"{sequence.get_absolute_url()}enrol/", {"query": query})

    with entered(alice):
        assert (EnrolJob.objects.get().contact_ids, EnrolJob.objects.get().query) == (ids[:2], "")


@pytest.mark.parametrize("query", ["status=nonsense", "cf_gone=1"])
def test_a_list_that_is_not_understood_is_refused(page, alice, sequence, query):
    at = f"{sequence.get_absolute_url()}enrol/"

    assert page.get(at, {"query": query}).status_code == 422
    assert page.post(at, {"query": query}).status_code == 422
    with entered(alice):
        assert not EnrolJob.objects.exists()


def test_a_job_is_stopped_once(page, alice, sequence, owner):
    with entered(alice):
        job = start_enrol_job(sequence=sequence, ids=[1], query="", by=owner)

    page.post(f"{job.get_absolute_url()}cancel/")
    with entered(alice):
        assert EnrolJob.objects.get().state == "canceled"
    assert "It is over already." in text_of(page.post(f"{job.get_absolute_url()}cancel/", follow=True))


def test_one_contact_is_enrolled_from_its_page(page, alice, sequence, owner, bobs):
    with entered(alice):
        contact = make_contact(contact_email="ann@example.com")
    at = reverse("email:contact-sequences", args=[contact.pk])

    assert "Bob" not in text_of(page.get(at))
    done = page.post(at, {"sequence": sequence.pk, "start_at": ""})
    again = page.post(at, {"sequence": sequence.pk})

    assert (done.status_code, again.status_code) == (302, 422)
    assert "Nobody goes through a sequence twice." in text_of(again)
    with entered(alice):
        enrolment = Enrolment.objects.get()
        assert (enrolment.contact, enrolment.enrolled_by) == (contact, owner)
        advance_due(now=timezone.now() + timedelta(seconds=1))
    assert "in 24 h" in text_of(page.get(at))


@pytest.mark.parametrize("condition", StepCondition.values)
def test_every_condition_has_words(condition):
    step = SequenceStep(condition=condition, status="lead")

    assert condition_words(step, {"lead": "Lead"}) or condition == StepCondition.ALWAYS
