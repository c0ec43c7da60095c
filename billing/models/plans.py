from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.enums import AccountStatus, EventState, MeterState, Unit
from billing.models.ledger import CURRENCY, LedgerEntry
from billing.models.mirrors import StripeInvoice
from tenants.models import Tenant
from thanos.encryption import EncryptedJSONField


class Plan(models.Model):
    """What organisations can subscribe to. Its prices are made in Stripe; here is which, and what comes with it."""

    name = models.CharField(max_length=60)
    slug = models.SlugField(unique=True)
    description = models.TextField(blank=True)
    price_id = models.CharField(
        "Stripe price", max_length=80, blank=True, help_text="price_…; made in Stripe by the action."
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    interval = models.CharField(max_length=10, choices=[("month", "a month"), ("year", "a year")], default="month")
    trial_days = models.PositiveSmallIntegerField(default=0)
    grace_days = models.PositiveSmallIntegerField(
        default=7, help_text="How long calls are answered after a failed payment."
    )
    max_concurrent_calls = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's limit.")
    max_users = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: as many as they like.")
    is_public = models.BooleanField("offered", default=True)
    is_default = models.BooleanField(default=False, help_text="New organisations begin with its trial.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "amount"]
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="plan_one_default")
        ]

    def __str__(self) -> str:
        return self.name


class PlanMeter(models.Model):
    """Use that a plan charges for: entries of the ledger with this item are reported to a meter of Stripe."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="meters")
    label = models.CharField(max_length=60, help_text="Such as: minutes of calls.")
    provider = models.CharField(max_length=30)
    item = models.CharField(max_length=80)
    unit = models.CharField(max_length=20, choices=Unit)
    event_name = models.CharField(max_length=80, help_text="The meter's event name in Stripe.")
    meter_id = models.CharField(
        "Stripe meter", max_length=80, blank=True, help_text="mtr_…; needed to compare with Stripe."
    )
    price_id = models.CharField("Stripe price", max_length=80, blank=True, help_text="The metered price, price_…")
    included = models.DecimalField(max_digits=14, decimal_places=2, default=0, help_text="Free in each period.")
    overage = models.DecimalField("price beyond", max_digits=12, decimal_places=6, help_text="For one unit.")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["plan", "provider", "item", "unit"], name="plan_meter_once")]

    def __str__(self) -> str:
        return f"{self.plan}: {self.label}"


class Account(models.Model):
    """What an organisation has subscribed to, as Stripe last told us; without Stripe a trial of our own."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="billing_account")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="accounts")
    customer_id = models.CharField(max_length=80, blank=True, db_index=True)
    subscription_id = models.CharField(max_length=80, blank=True, db_index=True)
    status = models.CharField(max_length=20, choices=AccountStatus, blank=True)
    trial_ends_at = models.DateTimeField(null=True, blank=True)
    period_begins = models.DateTimeField(null=True, blank=True)
    period_ends = models.DateTimeField(null=True, blank=True)
    cancels_at = models.DateTimeField(null=True, blank=True)
    billed_from = models.DateTimeField(null=True, blank=True)  # use from then on is reported to Stripe's meters
    past_due_since = models.DateTimeField(null=True, blank=True)
    price_id = models.CharField(max_length=80, blank=True)  # as Stripe has it: shown when no plan of ours has it
    synced_at = models.DateTimeField(null=True, blank=True)  # of what is above
    attempt = models.PositiveIntegerField(default=0)  # of checkouts: part of their idempotency keys

    def __str__(self) -> str:
        return f"Subscription of {self.tenant}"


class Invoice(StripeInvoice):
    """An invoice of Stripe's to an organisation, as it was when we last looked."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="invoices")
    paid_minor = models.BigIntegerField()
    period_begins = models.DateTimeField(null=True)
    period_ends = models.DateTimeField(null=True)
    pdf_url = models.URLField(max_length=500, blank=True)
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta(StripeInvoice.Meta):
        indexes = [models.Index(fields=["tenant", "-created_at"], name="invoice_tenant")]


class StripeEvent(models.Model):
    """A webhook of Stripe's, kept once by its id. `scope` is "" for the installation's account, else a schema."""

    event_id = models.CharField(max_length=80)
    scope = models.CharField(max_length=63, blank=True)
    type = models.CharField(max_length=80)
    created = models.DateTimeField()
    payload = EncryptedJSONField()
    state = models.CharField(max_length=10, choices=EventState, default=EventState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-received_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["scope", "event_id"], name="stripe_event_once")]
        indexes = [models.Index(fields=["received_at"], name="stripe_event_open", condition=Q(state="waiting"))]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class MeterEvent(models.Model):
    """One entry of the ledger on its way to a meter of Stripe. The entry's key is the identifier, so it counts once."""

    entry = models.OneToOneField(LedgerEntry, models.DO_NOTHING, db_constraint=False, related_name="+")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    meter = models.ForeignKey(PlanMeter, models.CASCADE, related_name="events")
    identifier = models.CharField(max_length=140, unique=True)
    value = models.DecimalField(max_digits=20, decimal_places=6)
    at = models.DateTimeField()  # the time that is reported
    state = models.CharField(max_length=10, choices=MeterState, default=MeterState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    first_tried_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["id"], name="meter_event_waiting", condition=Q(state="waiting")),
            models.Index(fields=["tenant", "meter", "at"], name="meter_event_period"),
        ]

    def __str__(self) -> str:
        return self.identifier
