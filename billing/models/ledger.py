from __future__ import annotations

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.enums import Kind, Leg, Source, Unit
from billing.pricing import Price
from tenants.models import Tenant, User

CURRENCY = RegexValidator(r"^[A-Z]{3}$", "Write the currency as its three letters, such as USD.")


class Rate(models.Model):
    """What a provider charges. Rows are never changed: a new price ends the old row and begins another."""

    provider = models.CharField(max_length=30)
    item = models.CharField(max_length=80, help_text="Such as voice-inbound, or a model's name with :input or :output.")
    unit = models.CharField(max_length=20, choices=Unit)
    price = models.DecimalField(max_digits=16, decimal_places=8, validators=[MinValueValidator(0)])
    per = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)], help_text="Units the price is for.")
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    valid_from = models.DateTimeField(default=timezone.now)
    valid_to = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True, help_text="Where the figure comes from.")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", editable=False)

    class Meta:
        ordering = ["provider", "item", "unit", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "item", "unit"], condition=Q(valid_to=None), name="rate_one_current"
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=models.F("valid_from")), name="rate_ends_after_it_begins"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.item} per {self.get_unit_display()}"

    def as_price(self) -> Price:
        return Price(
            self.pk,
            self.provider,
            self.item,
            self.unit,
            self.price,
            self.per,
            self.currency,
            self.valid_from,
            self.valid_to,
        )


class LedgerEntry(models.Model):
    """One use, priced. Only ever added (the database refuses anything else); a correction is another entry.

    It outlives its organisation: there is no constraint to the tenant's row. `day` is the organisation's own.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    key = models.CharField(max_length=120)
    at = models.DateTimeField()
    day = models.DateField()
    kind = models.CharField(max_length=12, choices=Kind)
    subject = models.CharField(max_length=64, blank=True)
    leg = models.CharField(max_length=12, choices=Leg)
    provider = models.CharField(max_length=30)
    item = models.CharField(max_length=80)
    unit = models.CharField(max_length=20, choices=Unit)
    quantity = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=20, decimal_places=8, null=True)
    rate = models.ForeignKey(Rate, models.DO_NOTHING, null=True, db_constraint=False, related_name="+", db_index=False)
    source = models.CharField(max_length=12, choices=Source)
    line_id = models.BigIntegerField(null=True)
    agent_id = models.BigIntegerField(null=True)
    contact_id = models.BigIntegerField(null=True)
    campaign = models.CharField(max_length=40, blank=True)
    corrects = models.ForeignKey("self", models.DO_NOTHING, null=True, db_constraint=False, related_name="corrections")
    # What this entry does to the number of uses whose cost is unknown: 1, or -1 for the correction that prices one.
    unknown = models.SmallIntegerField(default=0)
    written_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "ledger"
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="ledger_key")]
        indexes = [
            models.Index(fields=["tenant", "kind", "subject"], name="ledger_subject"),
            models.Index(fields=["tenant", "contact_id"], name="ledger_contact", condition=Q(contact_id__isnull=False)),
            models.Index(fields=["tenant", "day", "id"], name="ledger_day"),
            models.Index(fields=["provider", "item"], name="ledger_unknown", condition=Q(unknown=1)),
        ]

    def __str__(self) -> str:
        return self.key


class Tally(models.Model):
    """Sums of the ledger by day, written by a trigger; several rows of one key are added up (billing.tallies)."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    day = models.DateField()
    kind = models.CharField(max_length=12)
    leg = models.CharField(max_length=12)
    provider = models.CharField(max_length=30)
    item = models.CharField(max_length=80)
    unit = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    line_id = models.BigIntegerField(null=True)
    agent_id = models.BigIntegerField(null=True)
    campaign = models.CharField(max_length=40)
    quantity = models.DecimalField(max_digits=24, decimal_places=6)
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    entries = models.BigIntegerField()
    unknown = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["tenant", "day"], name="tally_tenant_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.provider} {self.item}"


class DayTotal(models.Model):
    """What an organisation has spent on a day, beside the tallies: all that admission and budgets ask for."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    day = models.DateField()
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=24, decimal_places=8)

    class Meta:
        indexes = [models.Index(fields=["tenant", "day"], name="daytotal_tenant_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.currency}"


class Drift(models.Model):
    """A provider's own figure that differs from the ledger by more than the threshold. Open until staff settle it."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+")
    provider = models.CharField(max_length=30)
    what = models.CharField(max_length=120, help_text="The call, or the day and item, that was compared.")
    day = models.DateField()
    currency = models.CharField(max_length=3, blank=True)
    ours = models.DecimalField(max_digits=20, decimal_places=8, null=True)
    theirs = models.DecimalField(max_digits=20, decimal_places=8)
    keys = models.JSONField(default=list, help_text="Keys of the ledger's entries behind our figure.")
    found_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-found_at"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "what"], name="drift_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.what}"
