"""The pages of calls and lines: what they show, find and change."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from telephony.enums import CallStatus, Direction, EndedReason, EventKind, SummaryStatus
from telephony.forms import HoursField
from telephony.models import CallEvent, Line
from telephony.selectors import PAGE_SIZE, calls_by_day, dashboard
from telephony.tests.factories import add_message, make_call, make_finished_call
from tenants.context import entered


@pytest.fixture
def page(visit, owner):
    client = visit(owner)
    return lambda path, **headers: client.get(path, headers=headers)


def rows(response) -> int:
    return response.content.decode().count('class="row-link"')


# --- the dashboard ---------------------------------------------------------------------------------------------------


def test_an_empty_dashboard_says_what_to_do(page, alice):
    content = page("/").content.decode()

    assert "No calls yet" in content
    assert "+15550100" in content


def test_figures_are_measured_and_test_calls_do_not_count(in_alice):
    now = timezone.now()
    answered = make_finished_call(duration_s=60)
    make_finished_call(answered_at=None, duration_s=None, ended_reason=EndedReason.TENANT_BUSY)
    make_finished_call(direction=Direction.BROWSER, duration_s=600)
    make_finished_call(duration_s=30, started_at=now - timedelta(days=9))
    for sequence, total in enumerate([100, 200, 300, 400, 1000]):
        add_message(answered, sequence, "assistant", "x", latency={"total": total})
    add_message(answered, 9, "assistant", "x", latency={"think": 5})

    board = dashboard(time_zone="UTC", now=now)

    assert board.calls_today == 2
    assert board.answered_share == 0.5
    assert board.average_length == timedelta(seconds=60)
    assert (board.latency_p50_ms, board.latency_p95_ms) == (300, 880)


def test_what_is_not_known_is_unknown(page, in_alice):
    make_call()

    content = page("/").content.decode()

    assert content.count("unknown") >= 3  # length and both waits


def test_days_are_the_tenants_days(in_alice):
    from datetime import UTC, date, datetime
    from zoneinfo import ZoneInfo

    make_call(started_at=datetime(2026, 11, 20, 3, 0, tzinfo=UTC))  # the evening before, in New York

    days = calls_by_day(zone=ZoneInfo("America/New_York"), today=date(2026, 11, 20), days=2)

    assert [(day.on.day, day.count) for day in days] == [(19, 1), (20, 0)]


def test_the_dashboard_asks_again_for_live_calls_only(page, in_alice):
    make_call(status=CallStatus.IN_PROGRESS)

    content = page("/", **{"hx-request": "true"}).content.decode()

    assert "In progress" in content
    assert "<html" not in content


# --- the list --------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(in_alice):
    first = make_finished_call(ended_reason=EndedReason.AGENT_HUNG_UP, started_at=timezone.now() - timedelta(days=3))
    add_message(first, 1, "user", "My cat is called Mephisto.")
    make_finished_call(from_number="+15557777", ended_reason=EndedReason.CALLER_HUNG_UP)
    make_call(status=CallStatus.IN_PROGRESS)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("q=mephisto", 1),
        ("q=MEPHISTO+cat", 1),
        ("q=mephisto+dog", 0),
        ("q=%2B1+555-7777", 1),
        ("q=5557777", 0),
        ("status=live", 1),
        ("status=completed", 2),
        ("status=sparkling", 3),
        ("reason=agent-hung-up", 1),
        ("until=2020-01-01", 0),
        ("since=2020-01-01", 3),
        ("since=yesterday", 3),
        ("until=9999-12-31", 3),
        ("line=999999", 3),
        ("cursor=nonsense", 3),
    ],
)
def test_filters(page, three, query, count):
    assert rows(page(f"/calls/?{query}")) == count


def test_pages_neither_repeat_nor_hide_calls(page, in_alice):
    for number in range(PAGE_SIZE + 5):
        make_call(started_at=timezone.now() - timedelta(minutes=number))
    first = page("/calls/")
    make_call()  # arrives while somebody reads

    second = page(f"/calls/?cursor={first.context['page'].next_cursor}")

    assert (rows(first), rows(second)) == (PAGE_SIZE, 5)
    seen = {call.pk for response in (first, second) for call in response.context["page"].calls}
    assert len(seen) == PAGE_SIZE + 5


def test_the_list_takes_the_same_queries_for_one_call_and_for_three(page, in_alice):
    counts = []
    for number in (1, 2):
        for _ in range(number):
            make_finished_call()
        with CaptureQueriesContext(connection) as captured:
            page("/calls/")
        counts.append(len(captured))

    assert counts[0] == counts[1]


def test_an_empty_search_helps(page, in_alice):
    assert "No calls yet" in page("/calls/").content.decode()
    assert "No call fits" in page("/calls/?q=mephisto").content.decode()


def test_scripts_get_rows_and_people_get_a_page(page, three):
    assert "<html" in page("/calls/").content.decode()
    assert "<html" not in page("/calls/", **{"hx-request": "true"}).content.decode()


# --- one call --------------------------------------------------------------------------------------------------------


def test_a_calls_page_shows_words_events_summary_and_what_is_unknown(page, in_alice):
    call = make_finished_call(
        ended_reason=EndedReason.PROVIDER_FAILED, summary="They asked for vouchers.", summary_status=SummaryStatus.DONE
    )
    add_message(call, 1, "user", "Do you have <b>vouchers</b>?")
    add_message(call, 2, "assistant", "Yes.", latency={"total": 1234, "think": 500})
    CallEvent.objects.create(call=call, sequence=3, kind=EventKind.BARGE_IN, at=timezone.now(), detail={"unheard_ms": 900})

    content = page(call.get_absolute_url()).content.decode()

    for text in ("&lt;b&gt;vouchers", "1.2 s", "Caller interrupted", "They asked for vouchers.", "Voice provider failed"):
        assert text in content
    assert "(The voice provider)" in content
    assert "unknown</span>" in content  # the cost


def test_words_the_caller_did_not_hear_are_struck_out(page, in_alice):
    call = make_finished_call()
    add_message(call, 1, "assistant", "We open at nine.", heard_share=0.5)
    add_message(call, 2, "assistant", "Anything else?", heard_share=0.0)
    add_message(call, 3, "assistant", "Heard whole.")

    content = page(call.get_absolute_url()).content.decode()

    assert "<span data-heard>We open</span> <s data-unheard>at nine.</s>" in content
    assert "<s data-unheard>Anything else?</s>" in content
    assert "<span data-heard>Heard whole.</span></p>" in content
    assert content.count("data-interrupted>Interrupted.") == 2


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (SummaryStatus.PENDING, "Being written."),
        (SummaryStatus.NOT_CONFIGURED, "No language model is configured."),
        (SummaryStatus.FAILED, "Could not be written."),
        (SummaryStatus.NOTHING_SAID, "Nothing was said."),
    ],
)
def test_a_missing_summary_says_why(page, in_alice, status, text):
    call = make_finished_call(summary_status=status)

    assert text in page(call.get_absolute_url()).content.decode()


def test_controls_are_for_live_calls(page, in_alice, visit, owner):
    live, over = make_call(), make_finished_call()

    assert "Hang up" in page(live.get_absolute_url()).content.decode()
    assert "Hang up" not in page(over.get_absolute_url()).content.decode()
    response = visit(owner).post(f"{over.get_absolute_url()}hang-up/", follow=True)
    assert "over already" in response.content.decode()


def test_hanging_up_goes_to_the_carrier_too(in_alice, providers, visit, owner):
    from sandbox.caller import Caller
    from sandbox.twilio.call import CarrierCall

    call = make_call(status=CallStatus.IN_PROGRESS)
    carried = CarrierCall(providers.network, from_number="+1", to_number="+15550100", caller=Caller([]))
    carried.sid = call.call_sid
    providers.network.calls[call.call_sid] = carried

    visit(owner).post(f"{call.get_absolute_url()}hang-up/")

    call.refresh_from_db()
    assert call.closing_reason == EndedReason.OPERATOR_HUNG_UP
    assert carried._instructions.get_nowait() == ("end", "completed")


def test_a_test_call_needs_a_line_that_is_on_and_a_provider(in_alice, visit, owner, settings, monkeypatch):
    client = visit(owner)
    line = Line.objects.get(is_default=True)
    assert client.post("/calls/test/", {"line": line.pk}).context["parameters"]["token"].startswith("t_")

    monkeypatch.setattr(settings.ENV, "deepgram_api_key", "")
    response = client.post("/calls/test/", {"line": line.pk}, follow=True)
    assert "No voice provider is configured" in response.content.decode()
    Line.objects.update(is_active=False)
    assert "No line is switched on" in client.get("/calls/test/").content.decode()


# --- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", []),
        ("Monday 09:00-17:30", [{"day": 0, "opens": "09:00", "closes": "17:30"}]),
        (
            "fri 9:00 – 12:00\n\nSunday 22:00-02:00",
            [
                {"day": 4, "opens": "09:00", "closes": "12:00"},
                {"day": 6, "opens": "22:00", "closes": "02:00"},
            ],
        ),
    ],
)
def test_hours_are_written_as_people_write_them(text, spans):
    field = HoursField(required=False)

    assert field.clean(text) == spans
    assert field.clean(field.prepare_value(spans)) == spans


def test_a_line_is_saved_or_nothing_is_lost(alice, visit, owner):
    client = visit(owner)
    with entered(alice):
        line = Line.objects.get(is_default=True)
    form = client.get(line.get_absolute_url()).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    values["hours"] = "Monday 09:00-17:30"

    faulty = client.post(line.get_absolute_url(), {**values, "greeting": "Typed just now.", "max_call_s": "x"})
    assert (faulty.status_code, "Typed just now." in faulty.content.decode()) == (422, True)
    assert client.post(line.get_absolute_url(), {**values, "greeting": "Good day."}).status_code == 302

    with entered(alice):
        line.refresh_from_db()
    assert line.greeting == "Good day."


def test_callers_whose_contact_is_known_are_shown_by_name(line, visit, owner, member, stranger):
    from crm.tests.factories import make_contact

    ann = make_contact("Ann Smith", phone="+15557001")
    finished = make_finished_call(line, contact=ann)
    make_call(line, contact=ann)

    for path in ("/", "/calls/", finished.get_absolute_url()):
        page = visit(owner).get(path).content.decode()
        assert "Ann Smith" in page, path
        assert "Ann Smith" not in visit(member).get(path).content.decode()  # contacts are for owners and admins
    page = visit(owner).get(finished.get_absolute_url()).content.decode()
    assert "<title>Call from Ann Smith" in page
    assert "+15557001" not in visit(member).get("/calls/").content.decode()


def test_what_helps_a_technician_alone_is_kept_apart(line, visit, owner, member):
    call = make_finished_call(line, stream_sid="MZ77", from_raw="sip:+15557001@pbx.example")
    at = timezone.now()
    for sequence, (kind, detail) in enumerate(
        [
            ("stream-started", {"stream_sid": "MZ77", "stream": 1}),
            ("engine-connected", {"request_id": "req-9"}),
            ("stream-ended", {"frames_in": 512, "reason": None}),
            ("barge-in", {"unheard_ms": 300}),
            ("ended", {"reason": "caller-hung-up", "fault": "caller"}),
        ]
    ):
        CallEvent.objects.create(call=call, sequence=sequence, kind=kind, at=at, detail=detail)

    page = visit(owner).get(call.get_absolute_url()).content.decode()
    happened, _, technical = page.partition("<summary>Technical details</summary>")

    for raw in ("stream_sid", "request_id", "frames_in", "unheard_ms", "MZ77", "req-9", "caller-hung-up"):
        assert raw not in happened, raw
    assert "not heard, in ms" in happened and "Caller hung up" in happened
    for shown in ("MZ77", "req-9", "512", "sip:+15557001@pbx.example"):
        assert shown in technical
    assert "Technical details" not in visit(member).get(call.get_absolute_url()).content.decode()


def test_a_field_that_needs_another_look_has_a_link(line, visit, owner):
    client = visit(owner)
    page = client.post(line.get_absolute_url(), {"name": "Front desk", "hours": "Mon-Fri all the time"})

    text = page.content.decode()
    assert page.status_code == 422
    assert '<a href="#id_hours">Hours</a>' in text and 'id="id_hours"' in text
    assert "“Mon-Fri all the time” was not understood" in text


def test_test_calls_count_in_no_figure_of_the_dashboard(line, visit, owner):
    from telephony.selectors import dashboard

    add_message(make_finished_call(line), 1, "assistant", "Yes?", latency={"total": 300})
    add_message(make_finished_call(line, direction="browser"), 1, "assistant", "Yes?", latency={"total": 9000})

    board = dashboard(time_zone="UTC")

    assert (board.calls_today, board.latency_p50_ms, board.latency_p95_ms) == (1, 300, 300)
