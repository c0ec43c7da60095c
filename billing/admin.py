"""The staff's pages: rates, plans, subscriptions, what does not fit, and the ledger to read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.models import Account, Drift, Invoice, LedgerEntry, MeterEvent, Plan, PlanMeter, Rate, StripeEvent
from billing.services.events import apply_waiting
from billing.services.rates import RateError, set_rate
from billing.services.subscribing import make_prices
from billing.services.syncing import sync_account, sync_invoices
from billing.stripe.client import StripeError


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that are the product's own, or history."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RateForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Rate
        fields = ["provider", "item", "unit", "price", "per", "currency", "valid_from", "note"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        same = Rate.objects.filter(
            provider=data.get("provider"), item=data.get("item"), unit=data.get("unit"), valid_to=None
        )
        current, begins = same.first(), data.get("valid_from")
        if current is not None and begins is not None and begins < current.valid_from:
            raise forms.ValidationError({"valid_from": "There is a later rate already: a new one begins after it."})
        return data

    def validate_constraints(self) -> None:
        """One rate holds at a time: the service ends the one before, so the constraint is not for people to meet."""


@admin.register(Rate)
class RateAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A rate is never changed: a new price is a new row, and the old one ends where it begins."""

    form = RateForm
    list_display = ["provider", "item", "unit", "price", "per", "currency", "valid_from", "valid_to"]
    list_filter = ["provider", "unit", ("valid_to", admin.EmptyFieldListFilter)]
    search_fields = ["provider", "item"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.view_rate") or request.user.has_perm("billing.change_rate")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Rate, form: Any, change: bool) -> None:
        try:
            made = set_rate(**form.cleaned_data, by=request.user)  # type: ignore[arg-type]
        except RateError as error:  # somebody was quicker
            messages.error(request, str(error))
        else:
            obj.pk = made.pk


class PlanMeterInline(admin.TabularInline):  # type: ignore[type-arg]
    model = PlanMeter
    extra = 0


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "amount", "currency", "interval", "price_id", "is_public", "is_default"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [PlanMeterInline]
    actions = ["make_prices"]

    @admin.action(permissions=["change"], description="Make its prices and meters at Stripe")
    def make_prices(self, request: HttpRequest, queryset: QuerySet[Plan]) -> None:
        for plan in queryset:
            try:
                make_prices(plan=plan)
            except StripeError as error:
                messages.error(request, f"{plan}: {error}")
            else:
                messages.success(request, f"{plan} can be subscribed to.")


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["tenant", "plan", "status", "period_ends", "cancels_at", "past_due_since", "synced_at"]
    list_filter = ["status", "plan"]
    search_fields = ["tenant__name", "customer_id", "subscription_id"]
    readonly_fields = [
        "tenant", "customer_id", "subscription_id", "price_id", "period_begins", "period_ends", "cancels_at",
        "past_due_since", "billed_from", "synced_at", "attempt",
    ]  # fmt: skip
    actions = ["read_again"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(permissions=["change"], description="Read them again from Stripe")
    def read_again(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        for account in queryset.exclude(customer_id=""):
            try:
                sync_account(account_id=account.pk)
                sync_invoices(account=account)
            except StripeError as error:
                messages.error(request, f"{account}: {error}")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    list_display = ["at", "tenant_id", "kind", "provider", "item", "quantity", "unit", "amount", "currency", "source"]
    list_filter = ["kind", "provider", "source", "unknown"]
    search_fields = ["key", "subject"]
    show_full_result_count = False


@admin.register(Drift)
class DriftAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["found_at", "provider", "what", "ours", "theirs", "settled_at"]
    list_filter = ["provider", ("settled_at", admin.EmptyFieldListFilter)]
    readonly_fields = ["tenant", "provider", "what", "day", "currency", "ours", "theirs", "keys", "found_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Invoice)
class InvoiceAdmin(ReadOnly):
    list_display = ["number", "tenant", "status", "total", "currency", "created_at"]
    list_filter = ["status"]
    search_fields = ["number", "stripe_id", "tenant__name"]


@admin.register(MeterEvent)
class MeterEventAdmin(ReadOnly):
    list_display = ["identifier", "tenant", "meter", "value", "state", "sent_at", "problem"]
    list_filter = ["state"]
    search_fields = ["identifier"]


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnly):
    list_display = ["received_at", "type", "event_id", "scope", "state", "attempts", "problem"]
    list_filter = ["state", "type"]
    search_fields = ["event_id"]
    exclude = ["payload"]
    actions = ["apply_again"]

    @admin.action(description="Apply again")
    def apply_again(self, request: HttpRequest, queryset: QuerySet[StripeEvent]) -> None:
        queryset.update(state="waiting", attempts=0)
        apply_waiting()
