"""Stored news and what follows from it: each piece acted on once, the result the same whatever the order."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction

from crm.email.enums import BatchState, EventKind, MessageState, SuppressionReason
from crm.email.models import EmailEvent, EmailMessage, SendBatch, Suppression
from crm.email.services import applying
from crm.email.services.applying import apply_events
from crm.email.services.events import store_events
from crm.email.services.timeline import log_sent
from crm.email.tests.mailroom import apart
from crm.email.tests.news import NOW, event, make_batch, make_message
from crm.enums import FactSource
from crm.hooks.enums import Event
from crm.hooks.models import WebhookDelivery
from crm.hooks.tests.factories import make_endpoint
from crm.models import Contact, Interaction
from crm.tests.factories import make_contact
from tenants.context import entered, in_public


def tell(tenant, *events):
    """Store news, as the webhook does outside of any tenant, and apply it."""
    store_events(list(events))
    with entered(tenant):
        assert apply_events(now=NOW) is False


@pytest.fixture
def message(in_alice):
    return make_message()


@pytest.fixture
def theirs(bob):
    """A message of Bob's to the same person."""
    with entered(bob):
        return make_message()


def say(tenant, message, name, **values):
    return event(message, tenant.schema_name, name, **values)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def test_news_becomes_the_messages_state(alice, bob, message, theirs):
    tell(
        alice,
        say(alice, message, "open", at=after(60)),
        say(alice, message, "delivered"),
        say(alice, message, "processed", at=after(-1)),
        say(alice, message, "click", at=after(90), url="https://example.com"),
    )

    message.refresh_from_db()
    assert (message.state, message.delivered_at, message.opened_at, message.clicked_at) == (
        MessageState.DELIVERED,
        NOW,
        after(60),
        after(90),
    )
    assert (message.open_count, message.click_count) == (1, 1)
    assert not EmailEvent.objects.filter(applied_at=None).exists()
    with entered(bob):
        theirs.refresh_from_db()
        assert theirs.state == MessageState.SENT


def test_the_same_news_again_changes_nothing(alice, message):
    news = [say(alice, message, "delivered"), say(alice, message, "open", at=after(60))]
    tell(alice, *news)
    tell(alice, *news)

    message.refresh_from_db()
    assert message.open_count == 1


def test_any_order_in_any_pieces_ends_in_the_same(alice, in_alice):
    """Ten messages' news, ordered at once and shuffled in pieces with repetitions."""
    ordered, shuffled = ([make_message() for _ in range(10)] for _ in "ab")
    chance = random.Random(5)
    names = ["processed", "deferred", "delivered", "open", "click", "bounce", "unsubscribe", "dropped", "spamreport"]
    plans = [[(name, chance.randint(0, 300)) for name in chance.choices(names, k=3)] for _ in ordered]

    def news(messages):
        return [
            say(alice, message, name, at=after(s), sg_event_id=f"{message.pk}{number}", reason=f"{name} {s}")
            for message, plan in zip(messages, plans, strict=True)
            for number, (name, s) in enumerate(plan)
        ]

    tell(alice, *news(ordered))
    mixed = news(shuffled) * 2
    chance.shuffle(mixed)
    while mixed:
        tell(alice, *(mixed.pop() for _ in range(min(len(mixed), 7))))

    columns = [*applying.COLUMNS, "error"]
    finals = [
        [tuple(getattr(EmailMessage.objects.get(pk=one.pk), name) for name in columns) for one in messages]
        for messages in (ordered, shuffled)
    ]
    assert finals[0] == finals[1]
    assert len(set(finals[0])) > 5


def test_pieces_of_any_size_leave_nothing(alice, in_alice):
    messages = [make_message() for _ in range(5)]
    store_events([say(alice, one, name) for one in messages for name in ("processed", "delivered", "open")])

    assert apply_events(now=NOW, chunk=2) is False

    assert not EmailEvent.objects.filter(applied_at=None).exists()
    assert {one.state for one in EmailMessage.objects.all()} == {MessageState.DELIVERED}


def test_out_of_time_says_that_more_is_left(alice, message):
    store_events([say(alice, message, "delivered")])

    assert apply_events(step_s=0) is True
    assert EmailEvent.objects.filter(applied_at=None).count() == 1


def test_the_number_of_queries_does_not_grow_with_the_news(alice, in_alice, django_assert_max_num_queries):
    for count in (2, 40):
        messages = [make_message() for _ in range(count)]
        log_sent(message_ids=[one.pk for one in messages])
        store_events([say(alice, one, name, at=after(99)) for one in messages for name in ("delivered", "open", "click")])
        with django_assert_max_num_queries(16):
            apply_events(now=NOW)


def test_the_servers_words_are_kept_without_the_address(alice, message):
    tell(
        alice,
        say(alice, message, "deferred", at=after(-60), response="400 try later"),
        say(alice, message, "bounce", type="blocked", reason="550 5.7.1 <ann@example.com> is on a list", at=after(5)),
        say(alice, message, "bounce", type="blocked", reason="550 later words", at=after(9)),
    )

    message.refresh_from_db()
    assert (message.state, message.error) == (MessageState.BLOCKED, "550 5.7.1 <[e-mail]> is on a list")


def test_news_of_a_message_that_is_gone_is_done_with(alice, message):
    store_events([say(alice, message, "delivered")])
    message.delete()

    apply_events(now=NOW)

    assert not EmailEvent.objects.filter(applied_at=None).exists()


def test_scanners_clicks_are_marked_and_do_not_count(alice, message):
    tell(
        alice,
        say(alice, message, "delivered"),
        say(alice, message, "click", at=after(2)),
        say(alice, message, "click", at=after(99)),
    )

    message.refresh_from_db()
    assert (message.click_count, message.clicked_at) == (1, after(99))
    marked = EmailEvent.objects.filter(kind=EventKind.CLICKED).order_by("at").values_list("is_machine", flat=True)
    assert list(marked) == [True, False]


# --- what follows ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hooks(in_alice):
    make_endpoint(events=[Event.EMAIL_BOUNCED, Event.EMAIL_UNSUBSCRIBED])

    def told():
        rows = WebhookDelivery.objects.order_by("event", "key")
        return [(row.event, row.payload.get("message"), row.payload.get("reason")) for row in rows]

    return told


def standing():
    return sorted(Suppression.objects.standing().values_list("reason", flat=True))


def test_a_hard_bounce_ends_writing_to_the_address_of_this_organisation_only(alice, bob, message, theirs, hooks):
    news = say(alice, message, "bounce", type="bounce", status="5.1.1", bounce_classification="Invalid Address")
    tell(alice, news)
    tell(alice, news, {**news, "sg_event_id": "another"})

    message.refresh_from_db()
    assert (message.state, message.bounced_at) == (MessageState.BOUNCED, NOW)
    assert standing() == [SuppressionReason.BOUNCED]
    assert Suppression.objects.get().message_id == message.pk
    assert hooks() == [(Event.EMAIL_BOUNCED, str(message.pk), None)]
    assert Contact.objects.get().do_not_mail_at is None  # it is the address, not a wish
    with entered(bob):
        assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    "news",
    [
        {"name": "bounce", "type": "blocked", "status": "5.7.1", "reason": "550 5.7.1"},
        {"name": "bounce", "type": "bounce", "status": "4.2.2"},
        {"name": "deferred"},
        {"name": "dropped", "reason": "Invalid SMTPAPI header"},
    ],
)
def test_what_may_work_another_time_ends_nothing(alice, message, news):
    values = dict(news)
    tell(alice, say(alice, message, values.pop("name"), **values))

    assert standing() == []


@pytest.mark.parametrize(
    ("name", "more", "reason", "said"),
    [
        ("unsubscribe", {}, SuppressionReason.UNSUBSCRIBED, "unsubscribed"),
        ("group_unsubscribe", {}, SuppressionReason.UNSUBSCRIBED, "unsubscribed"),
        ("spamreport", {}, SuppressionReason.SPAM, "spam"),
    ],
)
def test_a_wish_is_noted_once_with_the_contact(alice, bob, message, theirs, hooks, name, more, reason, said):
    news = say(alice, message, name, **more)
    tell(alice, news)
    tell(alice, news, {**news, "sg_event_id": "another"})

    assert standing() == [reason]
    contact = Contact.objects.get()
    assert contact.do_not_mail_source == FactSource.EMAIL and contact.do_not_call_at is None
    assert hooks() == [(Event.EMAIL_UNSUBSCRIBED, str(message.pk), said)]
    assert Interaction.objects.filter(kind="note", metadata__email=str(message.pk)).count() == 1
    with entered(bob):
        assert Contact.objects.get().do_not_mail_at is None


@pytest.mark.parametrize("words", ["Unsubscribed Address", "Spam Reporting Address"])
def test_a_wish_that_was_told_to_another_organisation_is_none_towards_this_one(alice, message, words):
    """The account at the provider is all organisations': its lists do not say whom somebody was tired of."""
    tell(alice, say(alice, message, "dropped", reason=words))

    message.refresh_from_db()
    assert (message.state, message.error) == (MessageState.DROPPED, words)
    assert standing() == []
    assert Contact.objects.get().do_not_mail_at is None


def test_the_timeline_says_what_became_of_it(alice, message):
    log_sent(message_ids=[message.pk])
    click = say(alice, message, "click", at=after(5))
    tell(alice, say(alice, message, "open", at=after(60)), click)
    entry = Interaction.objects.get(kind="email")
    assert entry.metadata["state"] == "delivered"
    assert entry.metadata["opened_at"].startswith("2026-11-20T12:01:00")
    assert (entry.metadata["open_count"], "clicked_at" in entry.metadata) == (1, True)

    tell(alice, say(alice, message, "delivered"))  # and so it was a scanner's click

    entry.refresh_from_db()
    assert "clicked_at" not in entry.metadata and "click_count" not in entry.metadata
    assert entry.metadata["direction"] == "out" and "delivered_at" in entry.metadata


def test_engagement_has_the_contact_scored_again_and_other_news_has_not(
    alice, in_alice, monkeypatch, django_capture_on_commit_callbacks
):
    from crm import tasks

    scored = []
    monkeypatch.setattr(tasks.score_contacts, "apply_async", lambda kwargs, **_: scored.append(kwargs["ids"]))
    opened, delivered = make_message(), make_message()
    log_sent(message_ids=[opened.pk, delivered.pk])
    store_events([say(alice, opened, "open"), say(alice, delivered, "delivered")])

    with django_capture_on_commit_callbacks(execute=True):
        apply_events(now=NOW)
    with django_capture_on_commit_callbacks(execute=True):
        store_events([say(alice, opened, "open", at=after(60))])
        apply_events(now=NOW)

    assert scored == [[opened.contact_id]]


def test_a_wish_from_before_is_not_told_again(alice, message, hooks):
    EmailMessage.objects.filter(pk=message.pk).update(unsubscribed_at=after(-99))

    tell(alice, say(alice, message, "unsubscribe"))

    message.refresh_from_db()
    assert message.unsubscribed_at == after(-99)
    assert hooks() == []


# --- requests in doubt -------------------------------------------------------------------------------------------------


def test_news_of_a_request_without_answer_settles_it(alice, in_alice):
    batch = make_batch(state=BatchState.UNKNOWN, asked_at=NOW, provider_id="")
    first, second = (make_message(batch=batch, state=MessageState.UNKNOWN, sent_at=None) for _ in "ab")

    tell(alice, say(alice, first, "delivered"))

    states = {one.pk: one.state for one in EmailMessage.objects.all()}
    assert states == {first.pk: MessageState.DELIVERED, second.pk: MessageState.SENT}
    assert SendBatch.objects.get().state == BatchState.ACCEPTED


def test_a_request_that_cannot_be_settled_does_not_hold_up_the_news(alice, in_alice, monkeypatch):
    monkeypatch.setattr(applying, "batch_seen", lambda batches: 0)
    batch = make_batch(state=BatchState.ASKED, asked_at=NOW)
    message = make_message(batch=batch, state=MessageState.CLAIMED)

    tell(alice, say(alice, message, "delivered"))

    message.refresh_from_db()
    assert message.state == MessageState.DELIVERED


# --- faults ------------------------------------------------------------------------------------------------------------


def test_one_messages_trouble_is_not_the_others(alice, in_alice, monkeypatch):
    messages = sorted((make_message() for _ in range(4)), key=lambda one: one.pk)
    store_events([say(alice, one, "delivered") for one in messages])
    real = applying.draw_consequences

    def fail(**arguments):
        if any(message_id == messages[1].pk for _, message_id, _ in arguments["claimed"]):
            raise ValueError("ann@example.com")
        real(**arguments)

    with monkeypatch.context() as patch:
        patch.setattr(applying, "draw_consequences", fail)
        apply_events(now=NOW)
    assert [one.message_id for one in EmailEvent.objects.filter(applied_at=None)] == [messages[1].pk]
    messages[1].refresh_from_db()
    assert messages[1].state == MessageState.SENT

    apply_events(now=NOW)
    messages[1].refresh_from_db()
    assert messages[1].state == MessageState.DELIVERED


def test_killed_before_its_commit_nothing_happened_and_all_of_it_happens_later(alice, message, hooks, monkeypatch):
    log_sent(message_ids=[message.pk])
    store_events([say(alice, message, "spamreport"), say(alice, message, "bounce", type="bounce", status="5.1.1")])

    def killed(**_):
        raise OperationalError("terminating connection")

    with monkeypatch.context() as patch:
        patch.setattr(applying, "bring_up_to_date", killed)
        assert apply_events(now=NOW) is False
    message.refresh_from_db()
    assert (message.state, standing(), hooks()) == (MessageState.SENT, [], [])

    apply_events(now=NOW)
    assert standing() == [SuppressionReason.BOUNCED, SuppressionReason.SPAM]
    assert [event for event, *_ in hooks()] == [Event.EMAIL_BOUNCED, Event.EMAIL_UNSUBSCRIBED]


def test_two_workers_at_once(alice):
    """Real transactions on connections of their own: neither waits for the other's news, and each acts once."""

    def set_up():
        messages = [make_message(make_contact(contact_email=f"p{n}@example.com")) for n in range(40)]
        log_sent(message_ids=[one.pk for one in messages])
        names = ("delivered", "open", "spamreport", "bounce")
        news = [say(alice, one, name, at=after(60), type="bounce", status="5.1.1") for one in messages for name in names]
        with in_public():
            store_events(news)

    def work():
        while apply_events(now=NOW, chunk=7):
            pass

    def check():
        assert not EmailEvent.objects.filter(applied_at=None).exists()
        assert {one.state for one in EmailMessage.objects.all()} == {MessageState.BOUNCED}
        assert {one.open_count for one in EmailMessage.objects.all()} == {1}
        assert Suppression.objects.standing().count() == 80
        assert Interaction.objects.filter(kind="note").count() == 40

    def clean_up():
        with transaction.atomic():
            for model in (Suppression, EmailEvent, EmailMessage, Interaction, Contact):
                model.objects.all().delete()

    apart(alice, set_up)
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: apart(alice, work), range(3)))
        apart(alice, check)
    finally:
        apart(alice, clean_up)
