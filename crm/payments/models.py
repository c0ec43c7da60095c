"""What Stripe knows of an organisation's own customers, as it last told: a mirror, never the truth."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils import timezone

from billing.models.mirrors import StripeInvoice
from billing.money import from_minor
from crm.models import Contact
from thanos.encryption import EncryptedTextField


class StripeConnection(models.Model):
    """The organisation's own account at Stripe. One row, or none."""

    secret_key = EncryptedTextField()
    webhook_secret = EncryptedTextField(blank=True)
    token = models.CharField(max_length=64, unique=True)  # of the address its webhooks come to
    account_id = models.CharField(max_length=80)
    account_name = models.CharField(max_length=200, blank=True)
    connected_at = models.DateTimeField(default=timezone.now)
    event_at = models.DateTimeField(null=True)  # when it last told us something

    def __str__(self) -> str:
        return self.account_name or self.account_id


class Customer(models.Model):
    """A customer at Stripe that is one of our contacts."""

    contact = models.OneToOneField(Contact, models.CASCADE, related_name="payments")
    stripe_id = models.CharField(max_length=80, unique=True)
    synced_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.stripe_id


class Subscription(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="subscriptions")
    stripe_id = models.CharField(max_length=80, unique=True)
    status = models.CharField(max_length=30)
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    interval = models.CharField(max_length=10, blank=True)
    interval_count = models.PositiveSmallIntegerField(default=1)
    is_discounted = models.BooleanField(default=False)
    period_ends = models.DateTimeField(null=True)
    cancels_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return self.stripe_id

    @property
    def amount(self) -> Decimal | None:
        return None if self.amount_minor is None else from_minor(self.amount_minor, self.currency)

    @property
    def every(self) -> str:
        """How often the amount is due, such as "a month" or "every 3 months"; empty for one that is not repeated."""
        if not self.interval:
            return ""
        return f"a {self.interval}" if self.interval_count == 1 else f"every {self.interval_count} {self.interval}s"


class CustomerInvoice(StripeInvoice):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="invoices")
    paid_at = models.DateTimeField(null=True)


class Payment(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="payments")
    stripe_id = models.CharField(max_length=80, unique=True)
    status = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    refunded_minor = models.BigIntegerField(default=0)
    description = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["-made_at", "-pk"]

    def __str__(self) -> str:
        return self.stripe_id

    @property
    def amount(self) -> Decimal:
        return from_minor(self.amount_minor, self.currency)

    @property
    def refunded(self) -> Decimal:
        return from_minor(self.refunded_minor, self.currency)
