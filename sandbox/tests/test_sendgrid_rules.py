"""What the e-mail stand-in accepts and refuses, and what it makes of a message: without a socket or a clock."""

import json

import pytest

from sandbox.sendgrid import fates, letters, rules

NOW = 1_795_000_000.0


def person(number=0):
    return {"to": [{"email": f"c{number}@x.test"}]}


def letter(**changes):
    body = {
        "personalizations": [person()],
        "from": {"email": "news@acme.test"},
        "subject": "Hi",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def fields(body):
    return [complaint.field for complaint in rules.complaints_about(body, now=NOW)]


def one(**values):
    """A letter with one personalization that has these values too."""
    return letter(personalizations=[{**person(), **values}])


FULL = letter(
    reply_to={"email": "r+tok@replies.localhost", "name": "Ann, Ltd"},
    headers={"List-Unsubscribe": "<https://x.test/u>"},
    categories=["mailing-7", "bulk"],
    custom_args={"thanos_tenant": "alice"},
    send_at=int(NOW + rules.LATEST_S),
    tracking_settings={"click_tracking": {"enable": True}},
    personalizations=[
        {**person(n), "substitutions": {"-a-": "x"}, "custom_args": {"m": str(n)}, "headers": {"X-N": str(n)}}
        for n in range(1000)
    ],
)


def test_a_full_request_is_in_order():
    assert rules.complaints_about(FULL, now=NOW) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], None),
        (letter(**{"from": None}), "from.email"),
        (letter(**{"from": {"email": "nobody"}}), "from.email"),
        (letter(**{"from": {"email": "müller@acme.test"}}), "from.email"),
        (letter(personalizations=[]), "personalizations"),
        (letter(personalizations=[person(n) for n in range(1001)]), "personalizations"),
        (letter(personalizations=[{"to": [{"email": f"{n}@x.test"} for n in range(1001)]}]), "personalizations"),
        (letter(personalizations=[{"to": []}]), "personalizations.0.to"),
        (letter(personalizations=[person(), {"to": [{"email": "a b@x.test"}]}]), "personalizations.1.to.0.email"),
        (letter(personalizations=[{"to": ["a@x.test"]}]), "personalizations.0.to.0"),
        (letter(personalizations=[{"to": {"email": "a@x.test"}}]), "personalizations.0.to"),
        (one(cc=[{"email": "C0@x.test"}]), "personalizations.0"),
        (one(data={}), "personalizations.0.data"),
        (one(headers={"Reply-To": "x"}), "personalizations.0.headers.Reply-To"),
        (letter(headers={"DKIM-Signature": "x"}), "headers.DKIM-Signature"),
        (letter(headers={"X-A": 1}), "headers.X-A"),
        (one(custom_args={"a": 1}), "personalizations.0.custom_args.a"),
        (one(custom_args={"a": "x" * 9999}), "personalizations.0.custom_args"),
        (one(substitutions={"-a-": 1}), "personalizations.0.substitutions.-a-"),
        (one(substitutions={"-a-": "x" * 9998}), "personalizations.0.substitutions"),
        (one(send_at=int(NOW) + rules.LATEST_S + 1), "personalizations.0.send_at"),
        (letter(send_at=int(NOW) + rules.LATEST_S + 1), "send_at"),
        (letter(subject=None), "subject"),
        (letter(subject=""), "subject"),
        (letter(content=[]), "content"),
        (letter(content=[{"type": "text/plain", "value": ""}]), "content.0.value"),
        (letter(content=[{"value": "x"}]), "content.0.type"),
        (letter(content=list(reversed(letter()["content"]))), "content"),
        (letter(content=letter()["content"][:1] * 2), "content"),
        (letter(categories=[str(n) for n in range(11)]), "categories"),
        (letter(categories=["a", "a"]), "categories"),
        (letter(categories=["x" * 256]), "categories.0"),
        (letter(custom_args="x"), "custom_args"),
        (letter(idempotency_key="x"), "idempotency_key"),
        (letter(reply_to={"email": "a@x.test"}, reply_to_list=[{"email": "b@x.test"}]), "reply_to"),
        (letter(ip_pool_name="x"), "ip_pool_name"),
    ],
)
def test_what_is_refused_names_its_field(body, field):
    assert fields(body) == [field]


@pytest.mark.parametrize(
    "body",
    [
        one(custom_args={"a": "x" * 9998}),
        one(substitutions={"-a-": "x" * 9997}),
        letter(subject=None, personalizations=[{**person(), "subject": "Hi"}]),
        letter(subject=None, content=None, template_id="d-1"),
        letter(personalizations=[{"to": [{"email": f"{n}@x.test"} for n in range(1000)]}]),
        letter(personalizations=[person(), person()]),
    ],
    ids=["arguments", "substitutions", "own subject", "template", "one to a thousand", "twice in one request"],
)
def test_what_is_just_accepted(body):
    assert fields(body) == []


def test_own_and_shared_arguments_count_together():
    shared = {"a": "x" * 6000}

    assert fields({**one(custom_args={"b": "x" * 6000}), "custom_args": shared}) == ["personalizations.0.custom_args"]
    assert fields({**one(custom_args={"a": "y" * 6000}), "custom_args": shared}) == []


def test_substitutions_do_not_go_with_a_dynamic_template():
    assert fields({**one(substitutions={"-a-": "x"}), "template_id": "d-1"}) == ["personalizations.0.substitutions"]


# --- fates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ann@x.test", ["processed", "delivered"]),
        ("bounce@x.test", ["processed", "bounce"]),
        ("ann+bounce7@x.test", ["processed", "bounce"]),
        ("bouncer@x.test", ["processed", "delivered"]),
        ("ann@bounce.test", ["processed", "delivered"]),
        ("ann+defer@x.test", ["processed", "deferred", "delivered"]),
        ("ann+defer+open@x.test", ["processed", "deferred", "delivered", "open"]),
        ("drop@x.test", ["dropped"]),
        ("silent@x.test", []),
        ("ann+spam@x.test", ["processed", "delivered", "spamreport"]),
        ("ann+unsubscribe@x.test", ["processed", "delivered", "unsubscribe"]),
        ("ann+oneclick@x.test", ["processed", "delivered", "one-click"]),
        ("ann+click@x.test", ["processed", "delivered", "open", "click"]),
        ("ann+latebounce@x.test", ["processed", "delivered", "bounce"]),
        ("ann+slow+machine@x.test", ["processed", "delivered", "open"]),
    ],
)
def test_an_address_decides_its_fate(address, expected):
    steps = fates.plan(address)

    assert [step.event for step in steps] == expected
    assert [step.after_s for step in steps] == sorted(step.after_s for step in steps)


def test_every_fate_is_explained_and_does_something_of_its_own():
    usual = fates.plan("ann@x.test")

    assert all(fates.plan(f"{name}@x.test") != usual for name in fates.FATES)


@pytest.mark.parametrize("event", sorted(fates.DROPPED))
def test_whoever_is_suppressed_is_dropped_whatever_the_address_says(event):
    (step,) = fates.plan("ann+open@x.test", suppressed=event)

    assert (step.event, step.extra["reason"]) == ("dropped", fates.DROPPED[event][0])


# --- letters ---------------------------------------------------------------------------------------------------------


def letter_to(number, **changes):
    body = letter(**changes)
    posting = letters.posting_of(body, raw=json.dumps(body).encode(), id="x", at=NOW)
    return posting.copies[number].letter()


def test_each_recipient_gets_their_own_words():
    people = [{**person(n), "substitutions": {"-name-": name}} for n, name in enumerate(("Ann", "Bea"))]
    content = [{"type": "text/plain", "value": "Dear -name-"}, {"type": "text/html", "value": "<p>-name-</p>"}]
    reply = {"email": "r+-name-@x.test"}

    mine = letter_to(1, personalizations=people, subject="For -name-", content=content, reply_to=reply)

    assert (mine.subject, mine.text, mine.html) == ("For Bea", "Dear Bea", "<p>Bea</p>")
    assert mine.reply_to == "r+Bea@x.test"


def test_a_value_that_contains_a_later_tag_is_replaced_again():
    assert letters.substitute("-a-", {"-a-": "-b-", "-b-": "stolen"}) == "stolen"


def test_own_values_win_over_shared_ones():
    people = [{**person(), "subject": "Own", "headers": {"X-A": "own"}, "custom_args": {"a": "own"}}]
    shared = {"headers": {"X-A": "all", "X-B": "all"}, "custom_args": {"a": "all", "b": "all"}}

    mine = letter_to(0, personalizations=people, **shared)

    assert (mine.subject, mine.headers, mine.custom_args) == (
        "Own",
        {"X-A": "own", "X-B": "all"},
        {"a": "own", "b": "all"},
    )


def test_everybody_in_copy_has_a_copy_and_only_theirs():
    people = [{"to": [{"email": "A@x.test", "name": "Ann"}], "cc": [{"email": "b@x.test", "name": "Bea"}]}]
    body = letter(personalizations=people)
    posting = letters.posting_of(body, raw=json.dumps(body).encode(), id="x", at=NOW)

    assert [(copy.address, copy.letter().to_name) for copy in posting.copies] == [("a@x.test", "Ann"), ("b@x.test", "Bea")]


HTML = (
    '<a href="https://a.test/?x=1&amp;y=2">A</a> <a href="mailto:x@y.test">M</a>'
    "<a class=b clicktracking=off href='https://u.test/1'>U</a> <a href='https://b.test'>B</a>"
)


def with_html(text=HTML, **changes):
    return letter_to(0, content=[{"type": "text/html", "value": text}], **changes)


def test_links_lead_through_the_provider_apart_from_those_that_may_not():
    mine = with_html()
    shown = mine.tracked_html("/base")

    assert mine.links == ["https://a.test/?x=1&y=2", "https://b.test"]
    assert '<a href="/base/click/0">A</a>' in shown
    assert "<a href='/base/click/1'>B</a>" in shown
    assert "href='https://u.test/1'" in shown
    assert shown.endswith('<img src="/base/open.gif" width="1" height="1" alt="">')


def test_nothing_is_added_for_a_sender_who_would_rather_not_know():
    off = {"enable": False}

    assert with_html(tracking_settings={"click_tracking": off, "open_tracking": off}).tracked_html("/base") == HTML


@pytest.mark.parametrize(
    ("headers", "takes"),
    [
        ({"List-Unsubscribe": "<https://u.test/1>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}, True),
        (
            {
                "list-unsubscribe": "<mailto:u@x.test>, <https://u.test/1>",
                "list-unsubscribe-post": "List-Unsubscribe=One-Click",
            },
            True,
        ),
        ({"List-Unsubscribe": "<https://u.test/1>"}, False),
        ({"List-Unsubscribe": "<mailto:u@x.test>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}, False),
        ({}, False),
    ],
)
def test_one_click_needs_both_headers_and_an_address(headers, takes):
    assert letter_to(0, headers=headers).takes_one_click is takes


def test_fifty_thousand_personalised_messages_stay_small():
    import tracemalloc

    people = [
        {
            **person(n),
            "substitutions": {f"-p{i}-": f"value {i} of {n}" for i in range(8)},
            "custom_args": {"m": f"{n:032x}"},
        }
        for n in range(1000)
    ]
    body = letter(personalizations=people, content=[{"type": "text/html", "value": "<p>-p1-</p>" * 500}])
    raw = json.dumps(body).encode()
    tracemalloc.start()
    kept = [letters.posting_of(body, raw=raw + b" " * n, id=str(n), at=NOW) for n in range(5)]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(kept[4].copies) == 1000
    assert used / 5000 < 600  # bytes a message; the request itself has some 350
