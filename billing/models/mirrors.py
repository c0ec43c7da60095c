"""What any of Stripe's things looks like when kept by us, whosever account it stands in."""

from __future__ import annotations

from decimal import Decimal

from django.db import models

from billing.money import from_minor


class StripeInvoice(models.Model):
    """The part of an invoice that ours and those of an organisation's customers have in common."""

    stripe_id = models.CharField(max_length=80, unique=True)
    number = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField()
    due_minor = models.BigIntegerField()
    created_at = models.DateTimeField()
    due_on = models.DateTimeField(null=True)
    page_url = models.URLField(max_length=500, blank=True)

    class Meta:
        abstract = True
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return self.number or self.stripe_id

    @property
    def total(self) -> Decimal:
        return from_minor(self.total_minor, self.currency)

    @property
    def due(self) -> Decimal:
        return from_minor(self.due_minor, self.currency)
