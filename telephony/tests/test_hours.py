from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from telephony.forms import HoursField
from telephony.hours import HoursError, check_hours, format_hours, is_open, parse_hours

WEEK = [{"day": day, "opens": "09:00", "closes": "17:30"} for day in range(5)]
NIGHT = [{"day": 4, "opens": "22:00", "closes": "02:00"}]  # Friday into Saturday


@pytest.mark.parametrize(
    ("hours", "zone", "at", "expected"),
    [
        ([], "UTC", datetime(2026, 11, 22, 3, tzinfo=UTC), True),
        (WEEK, "UTC", datetime(2026, 11, 20, 9, 0, tzinfo=UTC), True),
        (WEEK, "UTC", datetime(2026, 11, 20, 8, 59, tzinfo=UTC), False),
        (WEEK, "UTC", datetime(2026, 11, 20, 17, 30, tzinfo=UTC), False),
        (WEEK, "UTC", datetime(2026, 11, 21, 12, 0, tzinfo=UTC), False),  # a Saturday
        (WEEK, "America/New_York", datetime(2026, 11, 20, 14, 0, tzinfo=UTC), True),  # nine there
        (WEEK, "America/New_York", datetime(2026, 11, 20, 9, 0, tzinfo=UTC), False),
        (WEEK, "Asia/Tokyo", datetime(2026, 11, 22, 23, 30, tzinfo=UTC), False),  # Monday 08:30 there
        (WEEK, "Asia/Tokyo", datetime(2026, 11, 23, 0, 30, tzinfo=UTC), True),
        (NIGHT, "UTC", datetime(2026, 11, 20, 23, 0, tzinfo=UTC), True),
        (NIGHT, "UTC", datetime(2026, 11, 21, 1, 59, tzinfo=UTC), True),
        (NIGHT, "UTC", datetime(2026, 11, 21, 2, 0, tzinfo=UTC), False),
        (NIGHT, "UTC", datetime(2026, 11, 20, 1, 0, tzinfo=UTC), False),
    ],
)
def test_is_open(hours, zone, at, expected):
    assert is_open(hours, zone, at) is expected


@pytest.mark.parametrize(
    "hours",
    [{}, [{}], [{"day": 7, "opens": "09:00", "closes": "10:00"}], [{"day": 1, "opens": "9", "closes": "x"}], ["Monday"]],
)
def test_check_hours_refuses_what_cannot_be_read(hours):
    with pytest.raises(ValidationError):
        check_hours(hours)


def test_check_hours_accepts_a_week():
    check_hours(WEEK + NIGHT)


@pytest.mark.parametrize(
    "span",
    [
        {"day": True, "opens": "09:00", "closes": "10:00"},
        {"day": 1.5, "opens": "09:00", "closes": "10:00"},
        {"day": 1, "opens": "24:00", "closes": "10:00"},
        {"day": 1, "opens": "09:00:00+01:00", "closes": "10:00"},
        {"day": 1, "opens": "09:00", "closes": "10:00", "note": "except holidays"},
    ],
)
def test_check_hours_takes_nothing_it_would_not_keep_to(span):
    with pytest.raises(ValidationError):
        check_hours([span])


def test_a_span_may_close_at_the_end_of_the_day():
    hours = [{"day": 4, "opens": "09:00", "closes": "24:00"}]
    check_hours(hours)

    assert is_open(hours, "UTC", datetime(2026, 11, 20, 23, 59, tzinfo=UTC))
    assert not is_open(hours, "UTC", datetime(2026, 11, 21, 0, 0, tzinfo=UTC))


# --- as people write them --------------------------------------------------------------------------------------------

ALL_WEEK = range(7)


def spans(days, *times):
    return [{"day": day, "opens": opens, "closes": closes} for day in days for opens, closes in times]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon-Fri 09:00-17:00", spans(range(5), ("09:00", "17:00"))),
        ("Monday-Friday 9am-5pm", spans(range(5), ("09:00", "17:00"))),
        ("monday to friday: 9 to 17", spans(range(5), ("09:00", "17:00"))),
        ("Mon,Tue,Wed 9-17", spans(range(3), ("09:00", "17:00"))),
        ("Sat+Sun 10:00–14:00", spans([5, 6], ("10:00", "14:00"))),
        ("Fri-Mon 10-12", spans([4, 5, 6, 0], ("10:00", "12:00"))),
        ("Tues & Thurs 8:30am-4:15pm", spans([1, 3], ("08:30", "16:15"))),
        ("Mon, Wed and Fri 9am-noon and 1pm-5pm", spans([0, 2, 4], ("09:00", "12:00"), ("13:00", "17:00"))),
        ("Mon 09:00-12:00, 13:00-24:00", spans([0], ("09:00", "12:00"), ("13:00", "00:00"))),
        ("Mon-Fri 9.30-17.30; Sat 10:00 to 2pm", spans(range(5), ("09:30", "17:30")) + spans([5], ("10:00", "14:00"))),
        ("Friday 22:00-02:00", spans([4], ("22:00", "02:00"))),
        ("Sat 10pm-6", spans([5], ("22:00", "06:00"))),
        ("Tue 11-2am", spans([1], ("23:00", "02:00"))),
        ("Mon 1-5pm", spans([0], ("13:00", "17:00"))),
        ("Mon 9-5 p.m.", spans([0], ("09:00", "17:00"))),
        ("Mon 12am-12pm", spans([0], ("00:00", "12:00"))),
        ("Weekdays 0900-1730", spans(range(5), ("09:00", "17:30"))),
        ("Weekends: noon-midnight", spans([5, 6], ("12:00", "00:00"))),
        ("Daily 8-20\nSunday closed", spans(range(6), ("08:00", "20:00"))),
        ("Mon-Sat 8-20, Sun closed", spans(range(6), ("08:00", "20:00"))),
        ("24/7", spans(ALL_WEEK, ("00:00", "00:00"))),
        ("Sunday open 24 hours", spans([6], ("00:00", "00:00"))),
        ("Ｍｏｎ ９：００－１７：００", spans([0], ("09:00", "17:00"))),
        ("\n  \n", []),
    ],
)
def test_hours_are_read_as_they_are_written(text, expected):
    assert parse_hours(text) == expected
    check_hours(parse_hours(text))


@pytest.mark.parametrize(
    "text",
    [
        "Mon-Fri",
        "9-17",
        "Month 09:00-17:00",
        "Mon-Fri 09:00-17:00 except holidays",
        "Mon-Fri-Sun 09:00-17:00",
        "Mon 09:00",
        "Mon 09:00-17:00-18:00",
        "Mon 09:00-17:00 18:00",
        "Mon 25:00-26:00",
        "Mon 09:60-17:00",
        "Mon 24:00-02:00",
        "Mon 13pm-5pm",
        "Mon 9-5",  # morning or evening?
        "Mon 9:00-5:00",
        "Mon closed",  # and nothing else: that would be "always open"
        "Montag 09:00-17:00",
        "Mon-Fri 09:00-17:00\nSaturday by appointment",
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(text):
    with pytest.raises(HoursError) as refusal:
        parse_hours(text)

    assert text.splitlines()[-1] in str(refusal.value) or "No day is open" in str(refusal.value)


_times = st.times().map(lambda at: f"{at:%H:%M}")
_hours = st.lists(st.fixed_dictionaries({"day": st.integers(0, 6), "opens": _times, "closes": _times}), max_size=20)


@given(hours=_hours)
def test_hours_that_are_shown_and_saved_again_are_the_same(hours):
    assert parse_hours(format_hours(hours)) == hours
    assert not HoursField(required=False).has_changed(hours, HoursField().prepare_value(hours))


@given(
    days=st.lists(st.sampled_from(["Mon", "Tuesday", "WED", "thurs", "Fr", "Sat.", "Sundays"]), min_size=1, unique=True),
    joined=st.sampled_from([",", ", ", " and ", "+", " & ", "/", " "]),
    dash=st.sampled_from(["-", " – ", " to ", "—"]),
)
def test_no_day_of_a_list_is_lost(days, joined, dash):
    found = parse_hours(f"{joined.join(days)} 09:00{dash}17:00")

    assert len(found) == len(days)
    assert {(span["opens"], span["closes"]) for span in found} == {("09:00", "17:00")}


@given(text=st.text(st.sampled_from("MonTueFriSat 0123456789:.-–,+&apm\n"), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        check_hours(parse_hours(text))
    except HoursError as error:
        assert str(error)


def test_short_hours_are_shown_short():
    assert format_hours(WEEK + NIGHT) == "Monday-Thursday 09:00-17:30\nFriday 09:00-17:30, 22:00-02:00"
