"""Calls and money: refused before they begin, wound down while they run, written to the ledger when they are over."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent
from agents.outcomes import outcomes_of
from billing.enums import AccountStatus, Level
from billing.models import Account, Budget, BudgetAlert, LedgerEntry, Plan, Rate, Reservation, Tally
from billing.selectors import cost_of_contact
from billing.services.ledger import record_usage
from billing.tests.conftest import THEN, usage
from crm.services.contacts import create_contact
from telephony import expecting
from telephony.costing import MinuteCost
from telephony.effects import ReplacePrompt, Say, UserSays
from telephony.engines import base as ev
from telephony.enums import CallStatus, EndedReason, EventKind, NextStep
from telephony.models import Call, CallEvent, Line
from telephony.services import metering
from telephony.services.plans import plan_call
from telephony.services.seats import seats_taken
from telephony.services.spending import look_at_budget
from telephony.services.testcalls import TestCallError, start_test_call
from telephony.spending import SpendingPlan
from telephony.tests.factories import make_call, make_finished_call
from telephony.tests.test_bridge import Scene, call_tool
from telephony.tests.test_costing import PERCENTS
from telephony.tests.test_webhooks import answer, post, spoken, verbs
from telephony.transcripts.batch import write_pending
from tenants.context import entered
from tenants.models import Tenant


@pytest.fixture(autouse=True)
def _rates_are_read_anew():
    expecting.forget()
    yield
    expecting.forget()


@pytest.fixture
def rates(db):
    """A minute costs ten cents: four at the carrier, one for the stream, five for the agent."""
    for provider, item, price in (
        ("twilio", "voice-inbound", "0.04"),
        ("twilio", "media-stream", "0.01"),
        ("deepgram", "voice-agent", "0.05"),
        ("twilio", "voice-outbound", "0.20"),
    ):
        Rate.objects.create(
            provider=provider, item=item, unit="minute", price=Decimal(price), currency="USD", valid_from=THEN
        )


def limit(tenant: Tenant, **values) -> None:
    Budget.objects.filter(tenant=tenant).update(**values)


def spend(tenant: Tenant, amount: str) -> None:
    """Some use of today that costs so much."""
    quantity = Decimal(amount) / Decimal("0.04")
    record_usage(tenant=tenant, usages=[usage(quantity=quantity, at=timezone.now())])


# --- admission -------------------------------------------------------------------------------------------------------


def test_a_call_within_the_budget_is_answered_and_its_cost_set_aside(alice, bob, rates):
    limit(alice, daily=Decimal(1))

    response, form = answer()

    assert verbs(response) == ["Connect", "Redirect"]
    reservation = Reservation.objects.get()
    assert (reservation.tenant, reservation.subject) == (alice, form["CallSid"])
    assert reservation.amount == Decimal("0.30")  # three minutes


def test_admission_with_a_budget_takes_one_query_more(alice, rates):
    limit(alice, daily=Decimal(1))
    answer()  # rates are known now

    with CaptureQueriesContext(connection) as captured:
        answer()

    noise = ("SET search_path", "SAVEPOINT", "RELEASE")
    statements = [query["sql"].split()[0] for query in captured if not query["sql"].startswith(noise)]
    assert statements == ["SELECT", "SELECT", "SELECT", "INSERT"]


def test_over_the_budget_callers_hear_the_line_s_sentence(alice, bob, line, rates):
    limit(alice, daily=Decimal(1))
    spend(alice, "0.80")
    Line.objects.filter(pk=line.pk).update(over_budget_text="{organisation} rests today.")

    response, form = answer()

    assert (verbs(response), spoken(response)) == (["Say", "Hangup"], f"{alice.name} rests today.")
    call = Call.objects.get(call_sid=form["CallSid"])
    assert (call.ended_reason, call.fault) == (EndedReason.BUDGET_REACHED, "organisation")
    assert seats_taken(alice.schema_name) == 0
    other, _ = answer(To="+15550200")
    assert verbs(other) == ["Connect", "Redirect"]  # Bob has money


@pytest.mark.parametrize(
    ("action", "expected"), [("voicemail", ["Say", "Record", "Hangup"]), ("transfer", ["Say", "Dial"])]
)
def test_over_the_budget_a_line_takes_a_message_or_rings_somebody(alice, line, rates, action, expected):
    limit(alice, monthly=Decimal(0))
    Line.objects.filter(pk=line.pk).update(
        over_budget_action=action, fallback_number="+15550199", over_budget_text="Sorry."
    )

    response, form = answer()
    assert verbs(response) == ["Pause", "Redirect"]
    response = post("call-continue", form)

    assert verbs(response) == expected
    assert spoken(response).startswith("Sorry.")


def test_the_same_request_again_is_answered_the_same(alice, rates):
    limit(alice, daily=Decimal("0.30"))
    response, form = answer()
    spend(alice, "0.20")

    again = post("incoming-call", form)

    assert verbs(response) == verbs(again) == ["Connect", "Redirect"]
    assert Reservation.objects.count() == 1


def test_a_call_whose_rates_nobody_knows_is_answered_while_anything_is_left(alice):
    limit(alice, daily=Decimal(1))

    assert verbs(answer()[0]) == ["Connect", "Redirect"]


def test_a_test_call_costs_money_too(in_alice, line, rates):
    limit(in_alice, daily=Decimal("0.20"))
    start_test_call(line=line, tenant=fresh(in_alice))
    assert Reservation.objects.get().amount == Decimal("0.15")  # no carrier

    with pytest.raises(TestCallError, match="budget"):
        start_test_call(line=line, tenant=fresh(in_alice))
    assert seats_taken(in_alice.schema_name) == 1


def test_a_test_call_needs_a_subscription(in_alice, line):
    subscribe(in_alice, status=AccountStatus.CANCELED)

    with pytest.raises(TestCallError, match="subscription"):
        start_test_call(line=line, tenant=fresh(in_alice))


def fresh(tenant: Tenant) -> Tenant:
    """As the next request has it."""
    return Tenant.objects.get(pk=tenant.pk)


# --- subscription ----------------------------------------------------------------------------------------------------


def subscribe(tenant: Tenant, **values) -> Account:
    plan, _ = Plan.objects.get_or_create(
        slug="small",
        defaults={"name": "Small", "price_id": "price_1", "amount": 10, "currency": "USD", "max_concurrent_calls": 1},
    )
    return Account.objects.create(tenant=tenant, plan=plan, **values)


@pytest.mark.parametrize(
    ("values", "is_open"),
    [
        ({"status": AccountStatus.ACTIVE}, True),
        ({"status": AccountStatus.CANCELED}, False),
        ({"status": AccountStatus.PAST_DUE, "past_due_since": timezone.now() - timedelta(days=1)}, True),
        ({"status": AccountStatus.PAST_DUE, "past_due_since": timezone.now() - timedelta(days=30)}, False),
        ({"status": AccountStatus.TRIALING, "trial_ends_at": timezone.now() - timedelta(days=1)}, False),
    ],
)
def test_an_organisation_that_has_not_paid_gets_no_calls(alice, bob, line, values, is_open):
    subscribe(alice, **values)

    response, form = answer()

    assert (verbs(response)[0] == "Connect") is is_open
    if not is_open:
        assert Call.objects.get(call_sid=form["CallSid"]).ended_reason == EndedReason.NOT_SUBSCRIBED
    assert verbs(answer(To="+15550200")[0])[0] == "Connect"


def test_a_plan_limits_calls_at_once(alice, line):
    subscribe(alice, status=AccountStatus.ACTIVE)
    answer()

    _, form = answer()

    assert Call.objects.get(call_sid=form["CallSid"]).ended_reason == EndedReason.TENANT_BUSY


# --- while it runs ---------------------------------------------------------------------------------------------------


def spending(**values):
    usual = {
        "minute": MinuteCost(Decimal(0), Decimal("0.60")),
        "per_call": Decimal("1.00"),
        "percents": PERCENTS,
        "never_cuts_off": False,
        "watches": True,
        "wind_down_s": 15,
        "warning_note": "Hurry up.",
        "wind_down_note": "End now, kindly.",
        "goodbye": "I have to end this call.",
    }
    return SpendingPlan(**{**usual, **values})


def stages(scene: Scene) -> list[str]:
    return [event.detail["stage"] for event in scene.events(EventKind.BUDGET)]


def keep_talking(scene: Scene, seconds: int) -> None:
    """A caller who says something every five seconds, and an agent that answers."""
    for _ in range(seconds // 5):
        if scene.finish or scene.bridge.phase.name != "TALKING":
            return
        scene.hear("And another thing.")
        scene.speak("I see.")
        scene.played()
        scene.wait(4)


def test_a_call_that_runs_out_of_money_is_wound_down_and_ended(monkeypatch):
    scene = Scene(spending=spending()).greet()

    keep_talking(scene, 95)
    assert stages(scene)[0] == "warned"
    assert "Hurry up." in scene.of(ReplacePrompt)[0].prompt
    keep_talking(scene, 60)

    assert stages(scene) == ["warned", "winding_down", "ending"]
    assert "End now, kindly." in scene.of(ReplacePrompt)[-1].prompt
    assert "Hurry up." not in scene.of(ReplacePrompt)[-1].prompt
    assert scene.of(Say)[-1] == Say("I have to end this call.", "interrupt")
    scene.speak("I have to end this call.")
    scene.played()
    assert scene.finish.reason == EndedReason.BUDGET_REACHED
    assert scene.finish.step == NextStep.HANG_UP


def test_an_agent_that_says_goodbye_in_time_ends_the_call_for_the_budget_s_sake():
    scene = Scene(spending=spending(per_call=None)).greet()

    scene.take(scene.bridge.budgets_stand_at(Level.CRITICAL, scene.now))
    assert scene.of(UserSays)[-1].text == "End now, kindly."  # nobody was speaking: it speaks at once
    scene.speak("Goodbye, and thank you.")
    scene.engine(call_tool("end_call"))
    scene.tool_done("ok", _hang_up())
    scene.played()
    scene.wait(5)

    assert scene.finish.reason == EndedReason.BUDGET_REACHED


def _hang_up():
    from agents.tools import AfterTurn

    return AfterTurn("hang-up")


def test_money_that_runs_out_in_mid_sentence_does_not_cut_the_sentence():
    scene = Scene(spending=spending(per_call=None)).greet()
    scene.engine(ev.UserStartedSpeaking())

    scene.take(scene.bridge.budgets_stand_at(Level.CRITICAL, scene.now))

    assert not scene.of(UserSays) and not scene.of(Say)
    assert "End now, kindly." in scene.of(ReplacePrompt)[-1].prompt


def test_an_emergency_ends_at_once_with_a_sentence():
    scene = Scene(spending=spending(per_call=None)).greet()
    scene.hear("Tell me a long story.")
    scene.audio()

    scene.take(scene.bridge.budgets_stand_at(Level.EMERGENCY, scene.now))

    assert scene.of(Say)[-1] == Say("I have to end this call.", "interrupt")
    scene.wait(30)
    assert scene.finish.reason == EndedReason.BUDGET_REACHED


def test_a_caller_who_is_never_cut_off_talks_on():
    scene = Scene(spending=spending(never_cuts_off=True)).greet()
    scene.take(scene.bridge.budgets_stand_at(Level.EMERGENCY, scene.now))

    keep_talking(scene, 300)

    assert stages(scene) == ["warned"]
    assert scene.finish is None


def test_notes_about_different_things_stand_side_by_side():
    scene = Scene(spending=spending(per_call=None)).greet()
    scene.take(scene.bridge.instruct("A specialist may join."))
    scene.take(scene.bridge.budgets_stand_at(Level.CRITICAL, scene.now))
    scene.take(scene.bridge.instruct(""))

    prompt = scene.of(ReplacePrompt)[-1].prompt
    assert "End now, kindly." in prompt and "specialist" not in prompt


def test_a_call_that_runs_sets_aside_what_it_costs(in_alice, rates):
    limit(in_alice, daily=Decimal(1))
    Reservation.objects.create(tenant=in_alice, subject="CA1", amount=Decimal("0.30"), currency="USD")
    minute = MinuteCost(Decimal("0.05"), Decimal("0.05"))

    level = look_at_budget(tenant=in_alice, call_sid="CA1", minute=minute, seconds=480)

    assert Reservation.objects.get().amount == Decimal("0.80")
    assert level == Level.WARNING


def test_the_plan_of_a_call_carries_the_limits_and_the_line_s_words(in_alice, line, rates):
    limit(in_alice, per_call=Decimal("0.50"))
    call = make_call(line, stream_count=1)

    plan = plan_call(call=call, tenant=in_alice).spending

    assert plan.per_call == Decimal("0.50") and not plan.watches
    assert plan.goodbye == line.budget_goodbye_text
    limit(in_alice, per_call=None)
    assert plan_call(call=call, tenant=in_alice).spending is None


# --- tiers -----------------------------------------------------------------------------------------------------------


def test_a_promising_caller_gets_the_better_voice(in_alice, line, owner):
    contact = create_contact(values={"contact_name": "Ada", "phones": [{"label": "", "number": "+15557001"}]}, by=owner)
    type(contact).objects.filter(pk=contact.pk).update(score=90)
    Line.objects.filter(pk=line.pk).update(premium_from_score=70, premium_voice="aura-best", premium_model="big")
    call = make_call(Line.objects.get(pk=line.pk), stream_count=1)

    plan = plan_call(call=Call.objects.get(pk=call.pk), tenant=in_alice)

    assert (plan.engine.voice, plan.engine.think_model) == ("aura-best", "big")
    call.refresh_from_db()
    assert (call.tier, call.tier_reason) == ("premium", "lead score 90, at least 70")


def test_little_money_makes_every_voice_the_cheaper_one(in_alice, line, rates):
    limit(in_alice, daily=Decimal(1))
    spend(in_alice, "0.90")
    Line.objects.filter(pk=line.pk).update(economy_below_percent=20, economy_voice="aura-thrifty")
    call = make_call(Line.objects.get(pk=line.pk), stream_count=1)

    assert plan_call(call=Call.objects.get(pk=call.pk), tenant=in_alice).engine.voice == "aura-thrifty"
    call.refresh_from_db()
    assert call.tier == "economy"


# --- after the end ---------------------------------------------------------------------------------------------------


def streamed(call: Call, begin_s: float, end_s: float | None, number: int = 1) -> None:
    at = call.started_at
    base = number * 1_000_000
    CallEvent.objects.create(call=call, sequence=base, kind=EventKind.STREAM_STARTED, at=at + timedelta(seconds=begin_s))
    if end_s is not None:
        CallEvent.objects.create(
            call=call, sequence=base + 9, kind=EventKind.STREAM_ENDED, at=at + timedelta(seconds=end_s)
        )


def finished(line: Line, **values) -> Call:
    began = timezone.now() - timedelta(seconds=100)
    usual = {"started_at": began, "duration_s": 90, "duration_is_measured": True, "ended_at": began + timedelta(seconds=90)}
    call = make_finished_call(line, **{**usual, **values})
    streamed(call, 0, 90)
    return call


def test_a_finished_call_is_in_the_ledger_once(in_alice, bob, line, rates):
    call = finished(line)
    Reservation.objects.create(tenant=in_alice, subject=call.call_sid, amount=Decimal(1), currency="USD")

    assert metering.meter_call(call_id=str(call.pk))
    assert not metering.meter_call(call_id=str(call.pk))

    amounts = {entry.key.rpartition(f"{call.pk}:")[2]: entry.amount for entry in LedgerEntry.objects.all()}
    assert amounts == {"carrier": Decimal("0.08"), "stream:1": Decimal("0.02"), "agent:1": Decimal("0.075")}
    assert not Reservation.objects.exists()
    assert {entry.tenant_id for entry in LedgerEntry.objects.all()} == {in_alice.pk}
    call.refresh_from_db()
    assert call.metered_at is not None


def test_the_parts_add_up_to_the_total(in_alice, line, rates):
    call = finished(line)
    metering.meter_call(call_id=str(call.pk))
    call.refresh_from_db()

    cost = metering.cost_of_call(call=call, tenant=in_alice, currency="USD")

    assert cost.is_final
    assert cost.total == sum(part.amount for leg in cost.legs for part in leg.parts) == Decimal("0.175")
    assert [(leg.leg, leg.amount) for leg in cost.legs] == [("carrier", Decimal("0.10")), ("agent", Decimal("0.075"))]


def test_a_running_call_shows_what_it_has_cost_by_now(in_alice, line, rates):
    began = timezone.now()
    call = make_call(line, status=CallStatus.IN_PROGRESS, started_at=began, answered_at=began)
    streamed(call, 0, None)

    early = metering.cost_of_call(call=call, tenant=in_alice, currency="USD", now=began + timedelta(seconds=30))
    late = metering.cost_of_call(call=call, tenant=in_alice, currency="USD", now=began + timedelta(seconds=90))

    assert not early.is_final
    assert (early.total, late.total) == (Decimal("0.075"), Decimal("0.175"))


def test_without_a_rate_the_total_is_unknown_and_the_known_part_is_said(in_alice, line, rates):
    Rate.objects.filter(item="voice-agent").delete()
    call = finished(line)
    metering.meter_call(call_id=str(call.pk))
    call.refresh_from_db()

    cost = metering.cost_of_call(call=call, tenant=in_alice, currency="USD")

    assert cost.total is None and cost.has_unknown
    assert cost.known == Decimal("0.10")


def test_the_carrier_s_own_length_corrects_our_guess(in_alice, line, rates):
    call = finished(line, duration_s=30, duration_is_measured=False)
    metering.meter_call(call_id=str(call.pk))
    Call.objects.filter(pk=call.pk).update(duration_s=190, duration_is_measured=True)

    assert metering.meter_call(call_id=str(call.pk))
    assert not metering.meter_call(call_id=str(call.pk))

    carrier = LedgerEntry.objects.filter(item="voice-inbound").order_by("pk")
    assert [(entry.quantity, entry.amount, entry.source) for entry in carrier] == [
        (1, Decimal("0.04"), "measured"),
        (3, Decimal("0.12"), "correction"),
    ]
    call.refresh_from_db()
    assert metering.cost_of_call(call=call, tenant=in_alice, currency="USD").total == Decimal("0.255")


def test_a_transfer_s_own_leg_is_counted(alice, line, rates):
    _, form = answer()
    call = Call.objects.get(call_sid=form["CallSid"])
    Call.objects.filter(pk=call.pk).update(next_step=NextStep.TRANSFER, next_number="+15550199")
    post("call-continue", {**form, "DialCallStatus": "completed", "DialCallDuration": "61"})
    post("call-status", {**form, "CallStatus": "completed", "CallDuration": "80"})
    write_pending()

    metering.meter_call(call_id=str(call.pk))

    assert LedgerEntry.objects.get(item="voice-outbound").quantity == 2


def test_a_call_whose_task_was_lost_is_found(in_alice, line, rates):
    call = finished(line, ended_at=timezone.now() - timedelta(seconds=30))
    guessed = finished(line, ended_at=timezone.now() - timedelta(seconds=30), duration_is_measured=False)
    fresh = finished(line, ended_at=timezone.now())

    assert metering.unmetered_calls() == [str(call.pk)]
    later = timezone.now() + timedelta(minutes=3)
    assert set(metering.unmetered_calls(now=later)) == {str(one.pk) for one in (call, guessed, fresh)}


def test_a_call_that_uses_the_budget_up_is_told_once(in_alice, line, rates):
    limit(in_alice, daily=Decimal("0.20"), per_call=Decimal("0.10"))
    call = finished(line)

    metering.meter_call(call_id=str(call.pk))
    metering.meter_call(call_id=str(call.pk))

    told = [(alert.period, alert.level) for alert in BudgetAlert.objects.order_by("period")]
    assert told == [("call", Level.EMERGENCY), ("day", Level.WARNING)]


def test_refused_calls_cost_what_the_carrier_says(alice, line, rates):
    limit(alice, daily=Decimal(0))
    _, form = answer()
    post("call-status", {**form, "CallStatus": "completed", "CallDuration": "7"})

    with entered(alice):
        metering.meter_call(call_id=str(Call.objects.get(call_sid=form["CallSid"]).pk))

    assert Tally.objects.get().quantity == 1


def test_what_calls_of_a_contact_and_a_version_cost(in_alice, bob, line, rates, owner):
    agent = Agent.objects.get(slug="receptionist")
    contact = create_contact(values={"contact_name": "Ada", "phones": [{"label": "", "number": "+15557001"}]}, by=owner)
    for _ in range(2):
        call = finished(line, agent=agent, agent_version=agent.published, contact=contact)
        metering.meter_call(call_id=str(call.pk))

    (outcome,) = outcomes_of(agent)
    assert (outcome.cost, outcome.currency) == (Decimal("0.175"), "USD")
    assert cost_of_contact(tenant=in_alice, contact_id=contact.pk) == {"USD": (Decimal("0.35"), 0)}
    assert cost_of_contact(tenant=bob, contact_id=contact.pk) == {}
    with entered(bob):
        assert outcomes_of(agent) == []


def test_one_unknown_part_makes_a_version_s_cost_unknown(in_alice, line, rates):
    Rate.objects.filter(item="voice-agent").delete()
    agent = Agent.objects.get(slug="receptionist")
    metering.meter_call(call_id=str(finished(line, agent=agent, agent_version=agent.published).pk))

    assert outcomes_of(agent)[0].cost is None


def test_what_was_set_aside_for_nothing_is_given_back(in_alice, bob, line, rates):
    running, over = make_call(line), finished(line)
    metering.meter_call(call_id=str(over.pk))
    old = timezone.now() - timedelta(minutes=6)
    for tenant, subject, at in (
        (in_alice, running.call_sid, old),
        (in_alice, over.call_sid, old),
        (in_alice, "CAnever", old),
        (in_alice, "CAjustnow", timezone.now()),
        (bob, "CAnever", old),
    ):
        Reservation.objects.create(tenant=tenant, subject=subject, amount=1, currency="USD", created_at=at)

    assert metering.release_orphans() == 2
    assert set(Reservation.objects.filter(tenant=in_alice).values_list("subject", flat=True)) == {
        running.call_sid,
        "CAjustnow",
    }
    assert Reservation.objects.filter(tenant=bob).count() == 1
