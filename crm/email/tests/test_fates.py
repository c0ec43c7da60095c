"""What became of a message, whatever order the news of it came in."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.email.enums import EventKind, MessageState, SuppressionReason
from crm.email.fates import Facts, News, fold, is_by_machine, is_permanent, kind_of, scanned_clicks, suppression_of
from crm.email.tests.news import NOW

KINDS = list(EventKind)
SENT = Facts(state=MessageState.SENT, sent_at=NOW)


def after(s, kind, **more):
    return News(more.pop("id", f"{kind}{s}"), kind, NOW + timedelta(seconds=s), **more)


news = st.lists(
    st.builds(
        News,
        id=st.integers(0, 10_000),
        kind=st.sampled_from(KINDS),
        at=st.integers(0, 60).map(lambda s: NOW + timedelta(seconds=s)),
        is_machine=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)
bases = st.builds(
    Facts,
    state=st.sampled_from(list(MessageState)),
    sent_at=st.none() | st.just(NOW + timedelta(seconds=20)),
    unsubscribed_at=st.none() | st.just(NOW + timedelta(seconds=30)),
)


@given(bases, news, st.randoms())
def test_neither_order_nor_repetition_matters(base, heard, chance):
    mixed = heard * 2
    chance.shuffle(mixed)

    assert fold(base, mixed) == fold(base, heard)


@given(bases, news, st.data())
def test_folding_what_came_until_now_and_then_all_of_it_is_folding_all_of_it(base, heard, data):
    begun = data.draw(st.lists(st.sampled_from(heard), unique_by=lambda one: one.id) if heard else st.just([]))

    assert fold(fold(base, begun), heard) == fold(base, heard)
    assert fold(fold(base, heard), heard) == fold(base, heard)


@given(bases, news, news)
def test_a_state_never_goes_back(base, some, more):
    line = ["sent", "deferred", "dropped", "delivered", "blocked", "bounced"]
    rank = {state: number for number, state in enumerate(line)}
    both = {one.id: one for one in (*more, *some)}.values()

    assert rank.get(fold(base, both).state, -1) >= rank.get(fold(base, some).state, -1)


@given(bases)
def test_no_news_changes_nothing(base):
    assert fold(base, []) == base


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ([EventKind.PROCESSED], MessageState.SENT),
        ([EventKind.DEFERRED, EventKind.PROCESSED], MessageState.DEFERRED),
        ([EventKind.DEFERRED, EventKind.DELIVERED], MessageState.DELIVERED),
        ([EventKind.DELIVERED, EventKind.BOUNCED], MessageState.BOUNCED),
        ([EventKind.BOUNCED, EventKind.DELIVERED], MessageState.BOUNCED),
        ([EventKind.DEFERRED, EventKind.BLOCKED], MessageState.BLOCKED),
        ([EventKind.PROCESSED, EventKind.DROPPED], MessageState.DROPPED),
        ([EventKind.DROPPED, EventKind.DELIVERED], MessageState.DELIVERED),
        ([EventKind.DELIVERED, EventKind.SPAM], MessageState.DELIVERED),
        ([EventKind.OPENED], MessageState.DELIVERED),
        ([EventKind.UNSUBSCRIBED], MessageState.DELIVERED),
    ],
)
@pytest.mark.parametrize("base", [MessageState.SENT, MessageState.UNKNOWN, MessageState.CLAIMED, MessageState.FAILED])
def test_the_state_is_the_furthest_that_was_told(kinds, state, base):
    heard = [after(number, kind) for number, kind in enumerate(kinds)]

    assert fold(Facts(state=base), heard).state == state


def test_times_are_the_earliest_of_their_kind_and_people_are_counted():
    heard = [
        after(0, EventKind.DELIVERED),
        after(90, EventKind.OPENED),
        after(60, EventKind.OPENED),
        after(70, EventKind.CLICKED),
        after(1, EventKind.OPENED, is_machine=True),
    ]

    facts = fold(SENT, heard)

    assert (facts.delivered_at, facts.opened_at) == (NOW, NOW + timedelta(seconds=60))
    assert (facts.open_count, facts.click_count) == (2, 1)
    assert facts.spam_at is None and facts.bounced_at is None


def test_who_opened_has_it_but_when_it_was_delivered_stays_unknown():
    facts = fold(SENT, [after(60, EventKind.OPENED)])

    assert (facts.state, facts.delivered_at) == (MessageState.DELIVERED, None)


def test_a_click_at_the_delivery_is_a_scanners_even_if_the_delivery_is_told_later():
    click = after(5, EventKind.CLICKED)
    before = fold(SENT, [click])
    both = [click, after(0, EventKind.DELIVERED)]

    assert (before.click_count, before.clicked_at) == (1, click.at)
    later = fold(before, both)
    assert (later.click_count, later.clicked_at) == (0, None)
    assert scanned_clicks(both) == {click.id}


@pytest.mark.parametrize(("s", "is_person"), [(-11, True), (-10, False), (0, False), (10, False), (11, True)])
def test_people_click_a_little_later(s, is_person):
    facts = fold(SENT, [after(0, EventKind.DELIVERED), after(s, EventKind.CLICKED)])

    assert bool(facts.click_count) is is_person


def test_handed_over_is_the_earliest_known():
    assert fold(Facts(state=MessageState.UNKNOWN), [after(9, EventKind.PROCESSED)]).sent_at == NOW + timedelta(seconds=9)
    assert fold(SENT, [after(9, EventKind.PROCESSED)]).sent_at == NOW


def test_a_wish_from_the_preferences_page_stays():
    base = Facts(state=MessageState.DELIVERED, unsubscribed_at=NOW)

    assert fold(base, [after(60, EventKind.OPENED)]).unsubscribed_at == NOW
    assert fold(base, [after(60, EventKind.UNSUBSCRIBED)]).unsubscribed_at == NOW


# --- single pieces of news ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "type_", "kind"),
    [
        ("bounce", "bounce", EventKind.BOUNCED),
        ("bounce", "", EventKind.BOUNCED),
        ("bounce", "blocked", EventKind.BLOCKED),
        ("blocked", "", None),  # there is no such event
        ("delivered", "blocked", EventKind.DELIVERED),
        ("group_unsubscribe", "", EventKind.UNSUBSCRIBED),
        ("group_resubscribe", "", None),
        ("account_status_change", "compliance_suspend", None),
        ("", "", None),
    ],
)
def test_the_providers_words_become_ours(event, type_, kind):
    assert kind_of(event, type_) == kind


@pytest.mark.parametrize(
    ("kind", "says_so", "agent", "machine"),
    [
        (EventKind.OPENED, True, "Mozilla/5.0", True),
        (EventKind.OPENED, False, "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", False),
        (EventKind.CLICKED, False, "Mozilla/5.0 (compatible; Barracuda Sentinel)", True),
        (EventKind.CLICKED, False, "python-requests/2.31", True),
        (EventKind.CLICKED, False, "Slackbot-LinkExpanding 1.0", True),
        (EventKind.CLICKED, False, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", False),
        (EventKind.CLICKED, False, "", False),
        (EventKind.DELIVERED, True, "curl/8", False),
    ],
)
def test_programs_are_known_by_what_they_say(kind, says_so, agent, machine):
    assert is_by_machine(kind=kind, says_so=says_so, agent=agent) is machine


@pytest.mark.parametrize(
    ("detail", "permanent"),
    [
        ({"status": "5.1.1", "classification": "Invalid Address"}, True),
        ({"classification": "Invalid Address"}, True),
        ({"status": "5.0.0"}, False),
        ({"status": "5.0.0", "reason": "550 5.1.1 <x@y.example>: unknown"}, True),
        ({"reason": "550 no such user"}, False),
        ({"reason": "550 5.1.10 RESOLVER.ADR.RecipientNotFound"}, True),
        ({"status": "5.1.8", "reason": "bad sender's system"}, False),
        ({"status": "5.3.4"}, False),
        ({"status": "5.4.7"}, False),
        ({"status": "5.1.1", "reason": "552 5.2.2 mailbox full"}, False),
        ({"reason": "our address is 15.1.1.20"}, False),
        ({"status": "5.2.1", "classification": "Mailbox Unavailable"}, True),
        ({"status": "5.2.2", "classification": "Mailbox Unavailable"}, False),
        ({"status": "5.7.1", "classification": "Reputation"}, False),
        ({"status": "5.7.1", "classification": "Content"}, False),
        ({"status": "4.4.1"}, False),
        ({"reason": "450 try again; 5 minutes"}, False),
        ({"classification": "Unclassified"}, False),
        ({}, False),
    ],
)
def test_an_address_is_given_up_only_when_it_does_not_exist(detail, permanent):
    assert is_permanent(detail) is permanent
    assert (suppression_of(EventKind.BOUNCED, detail) == SuppressionReason.BOUNCED) is permanent
    assert suppression_of(EventKind.BLOCKED, detail) is None


@given(st.integers(0, 9), st.integers(0, 99))
def test_only_codes_about_the_address_are_for_good(subject, code):
    assert not is_permanent({"status": f"4.{subject}.{code}"})
    if subject != 1 and (subject, code) != (2, 1):
        assert not is_permanent({"status": f"5.{subject}.{code}"})


@pytest.mark.parametrize(
    ("kind", "reason", "suppression"),
    [
        (EventKind.SPAM, "", SuppressionReason.SPAM),
        (EventKind.UNSUBSCRIBED, "", SuppressionReason.UNSUBSCRIBED),
        (EventKind.DROPPED, "Bounced Address", SuppressionReason.BOUNCED),
        (EventKind.DROPPED, "Unsubscribed Address", None),
        (EventKind.DROPPED, "Spam Reporting Address", None),
        (EventKind.DROPPED, "Invalid", SuppressionReason.INVALID),
        (EventKind.DROPPED, "Invalid SMTPAPI header", None),
        (EventKind.DROPPED, "Recipient List over Package Quota", None),
        (EventKind.DROPPED, "", None),
        (EventKind.DEFERRED, "550 no", None),
        (EventKind.DELIVERED, "550 no", None),
    ],
)
def test_who_is_not_written_to_again(kind, reason, suppression):
    assert suppression_of(kind, {"reason": reason}) == suppression
