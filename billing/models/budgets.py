from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from billing.enums import Level, Period
from billing.models.ledger import CURRENCY
from tenants.models import Tenant

_LIMIT = {"max_digits": 12, "decimal_places": 2, "null": True, "blank": True, "validators": [MinValueValidator(0)]}
_SHARE = [MinValueValidator(1), MaxValueValidator(1000)]


class Budget(models.Model):
    """What an organisation wants to spend at most. No limit: none."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="budget")
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    per_call = models.DecimalField("for one call", **_LIMIT)  # type: ignore[arg-type]
    daily = models.DecimalField("a day", **_LIMIT)  # type: ignore[arg-type]
    weekly = models.DecimalField("a week", **_LIMIT)  # type: ignore[arg-type]
    monthly = models.DecimalField("a month", **_LIMIT)  # type: ignore[arg-type]
    # At which per cent of a limit each level begins.
    info_percent = models.PositiveSmallIntegerField("info at", default=50, validators=_SHARE)
    warning_percent = models.PositiveSmallIntegerField("warning at", default=80, validators=_SHARE)
    critical_percent = models.PositiveSmallIntegerField("critical at", default=100, validators=_SHARE)
    emergency_percent = models.PositiveSmallIntegerField("emergency at", default=120, validators=_SHARE)
    never_cuts_off = models.BooleanField(
        "never cut a caller off", default=False, help_text="Calls that run go on, whatever they cost; new ones are refused."
    )
    expected_call_s = models.PositiveIntegerField(
        "expected length of a call", default=180, validators=[MinValueValidator(1), MaxValueValidator(14_400)],
        help_text="Seconds. So much is set aside when a call begins.",
    )  # fmt: skip
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Budget of {self.tenant}"

    def clean(self) -> None:
        shares = [self.info_percent, self.warning_percent, self.critical_percent, self.emergency_percent]
        if None not in shares and shares != sorted(set(shares)):
            raise ValidationError({"emergency_percent": "Each level begins later than the one before it."})

    @property
    def limits(self) -> dict[Period, Decimal]:
        """The limits of days, weeks and months that are set."""
        found = {Period.DAY: self.daily, Period.WEEK: self.weekly, Period.MONTH: self.monthly}
        return {period: limit for period, limit in found.items() if limit is not None}

    @property
    def percents(self) -> dict[Level, int]:
        return {
            Level.INFO: self.info_percent,
            Level.WARNING: self.warning_percent,
            Level.CRITICAL: self.critical_percent,
            Level.EMERGENCY: self.emergency_percent,
        }


class Reservation(models.Model):
    """Money set aside for a call that runs, until the ledger knows what it cost."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    subject = models.CharField(max_length=64)
    amount = models.DecimalField(max_digits=20, decimal_places=8)
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "subject"], name="reservation_subject")]

    def __str__(self) -> str:
        return self.subject


class BudgetAlert(models.Model):
    """A level that was reached in a period, told once."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="budget_alerts")
    period = models.CharField(max_length=6, choices=Period)
    begins = models.DateField()
    subject = models.CharField(max_length=64, blank=True)  # the call, for the limit of one call
    level = models.PositiveSmallIntegerField(choices=Level)
    spent = models.DecimalField(max_digits=20, decimal_places=8)
    limit = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    at = models.DateTimeField(default=timezone.now)
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at", "-level"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "period", "begins", "subject", "level"], name="budget_alert_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_level_display()} for {self.get_period_display()} from {self.begins}"
