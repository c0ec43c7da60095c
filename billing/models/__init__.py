from billing.models.budgets import Budget, BudgetAlert, Reservation
from billing.models.ledger import DayTotal, Drift, LedgerEntry, Rate, Tally
from billing.models.plans import Account, Invoice, MeterEvent, Plan, PlanMeter, StripeEvent

__all__ = [
    "Account",
    "Budget",
    "BudgetAlert",
    "DayTotal",
    "Drift",
    "Invoice",
    "LedgerEntry",
    "MeterEvent",
    "Plan",
    "PlanMeter",
    "Rate",
    "Reservation",
    "StripeEvent",
    "Tally",
]
