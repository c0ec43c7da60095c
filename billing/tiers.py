"""Which tier of voice and model a call gets: from how promising the caller is, and what is left of the budget. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum


class Tier(Enum):
    ECONOMY = "economy"
    STANDARD = "standard"
    PREMIUM = "premium"


@dataclass(frozen=True, slots=True)
class TierRules:
    """From which lead score (0 to 100) a caller is worth the dearer tier, and below which share of the budget, in per
    cent, everybody gets the cheaper one. None: that tier is not used."""

    premium_from_score: int | None = None
    economy_below_percent: int | None = None


@dataclass(frozen=True, slots=True)
class TierChoice:
    tier: Tier
    reason: str


def choose_tier(*, rules: TierRules, score: int | None, share_left: Decimal | None) -> TierChoice:
    """`score` is None for an unknown caller, `share_left` (0 to 1) where there is no budget.

    A budget that runs out outweighs any caller: a tier that is too dear for the month helps nobody at its end.
    """
    low = rules.economy_below_percent
    if low is not None and share_left is not None and share_left * 100 < low:
        return TierChoice(Tier.ECONOMY, f"{int(share_left * 100)} % of the budget is left, less than {low} %")
    high = rules.premium_from_score
    if high is not None and score is not None and score >= high:
        return TierChoice(Tier.PREMIUM, f"lead score {score}, at least {high}")
    if high is not None and score is not None:
        return TierChoice(Tier.STANDARD, f"lead score {score}, less than {high}")
    return TierChoice(Tier.STANDARD, "nothing speaks for another")
