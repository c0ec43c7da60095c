"""What a call may spend: asked before it begins, watched while it runs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ObjectDoesNotExist

from billing.access import Access, access_of
from billing.enums import Level
from billing.models import Account, Budget
from billing.selectors import subscribed
from billing.services.budgets import highest, standings
from billing.services.reserving import Admission, grow, reserve
from billing.tiers import Tier, TierChoice, TierRules, choose_tier
from telephony.costing import MinuteCost
from telephony.expecting import minute_cost
from telephony.models import Call, Line
from telephony.spending import SpendingPlan
from tenants.models import Tenant

# What `find_number` joins, so that admission asks nothing twice.
JOINED = ("tenant__budget", "tenant__billing_account__plan")


def budget_of(tenant: Tenant) -> Budget | None:
    try:
        return tenant.budget  # type: ignore[no-any-return]
    except ObjectDoesNotExist:
        return None


def account_of(tenant: Tenant) -> Account | None:
    try:
        return tenant.billing_account  # type: ignore[no-any-return]
    except ObjectDoesNotExist:
        return None


def access_for(tenant: Tenant, now: datetime) -> Access:
    """Return whether an organisation's subscription lets calls in."""
    account = account_of(tenant)
    return access_of(None if account is None else subscribed(account), now)


def calls_at_once(tenant: Tenant) -> int:
    account = account_of(tenant)
    allowed = account.plan.max_concurrent_calls if account is not None and account.plan is not None else None
    return tenant.max_concurrent_calls if allowed is None else min(allowed, tenant.max_concurrent_calls)


def reserve_for(*, call: Call, tenant: Tenant, now: datetime) -> Admission:
    """Set the expected cost of a call aside; refused when that goes beyond a limit."""
    budget = budget_of(tenant)
    expected = None if budget is None or not budget.limits else _expected(call, budget)
    return reserve(tenant=tenant, budget=budget, subject=call.call_sid, amount=expected, now=now)


def _expected(call: Call, budget: Budget) -> Decimal | None:
    minute = minute_cost(engine=call.engine, direction=call.direction, currency=budget.currency)
    return minute.of(budget.expected_call_s)


def plan_spending(
    *, call: Call, line: Line, tenant: Tenant, note: str, goodbye: str, wind_down: str
) -> SpendingPlan | None:
    """Return what the conversation needs to know of money; None where nothing is limited."""
    budget = Budget.objects.filter(tenant=tenant).first()
    if budget is None or (budget.per_call is None and not budget.limits):
        return None
    minute = minute_cost(engine=call.engine, direction=call.direction, currency=budget.currency)
    return SpendingPlan(
        minute=minute,
        per_call=budget.per_call,
        percents=budget.percents,
        never_cuts_off=budget.never_cuts_off,
        watches=bool(budget.limits),
        wind_down_s=line.budget_wind_down_s,
        warning_note=note,
        wind_down_note=wind_down,
        goodbye=goodbye,
    )


def look_at_budget(*, tenant: Tenant, call_sid: str, minute: MinuteCost, seconds: float) -> Level:
    """Return how far the budgets are used up, with what this call has cost by now set aside."""
    cost = minute.of(seconds)
    if cost is not None:
        grow(tenant=tenant, subject=call_sid, amount=cost)
    return highest(standings(tenant=tenant))


def take_tier(*, call: Call, line: Line, tenant: Tenant) -> Tier:
    """Return the call's tier, chosen once and recorded with its reason."""
    if call.tier:
        return Tier(call.tier)
    rules = TierRules(line.premium_from_score, line.economy_below_percent)
    if rules == TierRules():
        return Tier.STANDARD
    choice = _choose(call, rules, tenant)
    Call.objects.filter(pk=call.pk, tier="").update(tier=choice.tier.value, tier_reason=choice.reason)
    call.tier, call.tier_reason = choice.tier.value, choice.reason
    return choice.tier


def _choose(call: Call, rules: TierRules, tenant: Tenant) -> TierChoice:
    found = standings(tenant=tenant) if rules.economy_below_percent is not None else []
    left = min((max(Decimal(0), 1 - one.share) for one in found), default=None)
    score = call.contact.score if call.contact is not None else None
    return choose_tier(rules=rules, score=score, share_left=left)
