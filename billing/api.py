"""REST: what was spent, the ledger behind it, budgets, and the invoices of the organisation's own subscription."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django.conf import settings
from django.db.models import QuerySet
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from billing.models import Budget, Invoice, LedgerEntry
from billing.periods import day_of
from billing.selectors import Report, Row, report
from billing.services.budgets import standings, tell_levels
from tenants.audit import record
from tenants.enums import AuditAction, Scope
from tenants.models import Tenant, User
from tenants.pagination import Newest
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin

SCOPES = {"read": Scope.BILLING_READ, "write": Scope.BILLING_WRITE}
LONGEST = timedelta(days=400)
AMOUNT: dict[str, Any] = {"max_digits": 24, "decimal_places": 8}
SHARED: dict[str, Any] = {"max_digits": None, "decimal_places": 8}  # a quotient has no last place of its own


def _tenant(request: Any) -> Tenant:
    return cast("Tenant", request.tenant)


class LedgerEntrySerializer(serializers.ModelSerializer[LedgerEntry]):
    class Meta:
        model = LedgerEntry
        fields = [
            "id",
            "key",
            "at",
            "day",
            "kind",
            "subject",
            "leg",
            "provider",
            "item",
            "unit",
            "quantity",
            "amount",
            "currency",
            "source",
            "line_id",
            "agent_id",
            "contact_id",
            "campaign",
            "corrects",
        ]


class NewestWritten(Newest):
    ordering = ("-id",)


class LedgerFilterSerializer(serializers.Serializer[Any]):
    day = serializers.DateField(required=False)
    kind = serializers.CharField(required=False, max_length=12)
    subject = serializers.CharField(required=False, max_length=64)


@extend_schema_view(list=extend_schema(parameters=[LedgerFilterSerializer]))
class LedgerViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[LedgerEntry]):
    """The ledger: every use with its cost; null where that is unknown. Entries are only ever added."""

    serializer_class = LedgerEntrySerializer
    permission_classes = [IsManager]
    required_scopes = SCOPES
    queryset = LedgerEntry.objects.none()
    pagination_class = NewestWritten

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        wanted = LedgerFilterSerializer(data=self.request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        return LedgerEntry.objects.filter(tenant=_tenant(self.request), **wanted.validated_data).order_by("-id")


class RowSerializer(serializers.Serializer[Row]):
    key = serializers.CharField()
    name = serializers.CharField(source="label")
    amount = serializers.DecimalField(**AMOUNT)
    quantity = serializers.DecimalField(max_digits=24, decimal_places=6)
    entries = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="Uses whose cost is not known: the amount lacks them.")


class ReportSerializer(serializers.Serializer[Report]):
    first = serializers.DateField()
    end = serializers.DateField()
    currency = serializers.CharField()
    total = serializers.DecimalField(**AMOUNT)
    unknown = serializers.IntegerField()
    answered = serializers.IntegerField(allow_null=True)
    booked = serializers.IntegerField(allow_null=True)
    per_answered_call = serializers.DecimalField(**SHARED, allow_null=True)
    per_booking = serializers.DecimalField(**SHARED, allow_null=True)
    rows = serializers.DictField(child=RowSerializer(many=True))


class SpanSerializer(serializers.Serializer[Any]):
    first = serializers.DateField(required=False, help_text="The first day; the first of this month unless told.")
    end = serializers.DateField(required=False, help_text="The day after the last one; tomorrow unless told.")

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        today = day_of(timezone.now(), self.context["time_zone"])
        span = {"first": data.get("first") or today.replace(day=1), "end": data.get("end") or today + timedelta(days=1)}
        if not timedelta(0) < span["end"] - span["first"] <= LONGEST:
            raise ValidationError({"end": ["The end comes after the first day, and at most 400 days later."]})
        return span


class CostViewSet(viewsets.ViewSet):
    """Sums of the ledger over some days: by day, part, kind, line, agent, campaign and item."""

    permission_classes = [IsManager]
    required_scopes = SCOPES

    @extend_schema(parameters=[SpanSerializer], responses=ReportSerializer)
    def retrieve(self, request: Request) -> Response:
        tenant = _tenant(request)
        span = SpanSerializer(data=request.query_params.dict(), context={"time_zone": tenant.time_zone})
        span.is_valid(raise_exception=True)
        currency = _budget(tenant).currency
        found = report(tenant=tenant, currency=currency, **span.validated_data)
        return Response(ReportSerializer(found).data)


def _budget(tenant: Tenant) -> Budget:
    return Budget.objects.get_or_create(tenant=tenant, defaults={"currency": settings.ENV.billing_currency})[0]


class StandingSerializer(serializers.Serializer[Any]):
    period = serializers.CharField()
    begins = serializers.DateField()
    limit = serializers.DecimalField(max_digits=12, decimal_places=2)
    spent = serializers.DecimalField(**AMOUNT)
    held = serializers.DecimalField(**AMOUNT, help_text="Set aside for calls that run.")
    level = serializers.IntegerField(help_text="0 within, 1 info, 2 warning, 3 critical, 4 emergency.")


class BudgetSerializer(StrictTypesMixin, serializers.ModelSerializer[Budget]):
    standings = serializers.SerializerMethodField()

    class Meta:
        model = Budget
        fields = [
            "currency",
            "per_call",
            "daily",
            "weekly",
            "monthly",
            "info_percent",
            "warning_percent",
            "critical_percent",
            "emergency_percent",
            "never_cuts_off",
            "expected_call_s",
            "standings",
        ]
        read_only_fields = ["currency"]

    @extend_schema_field(StandingSerializer(many=True))
    def get_standings(self, budget: Budget) -> Any:
        return StandingSerializer(standings(tenant=budget.tenant, budget=budget), many=True).data

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        names = ("info_percent", "warning_percent", "critical_percent", "emergency_percent")
        shares = [data.get(name, getattr(self.instance, name)) for name in names]
        if shares != sorted(set(shares)):
            raise ValidationError({"emergency_percent": ["Each level begins later than the one before it."]})
        return data


class BudgetViewSet(viewsets.ViewSet):
    """The organisation's one budget, and how far it is used up."""

    permission_classes = [IsManager]
    required_scopes = SCOPES

    @extend_schema(responses=BudgetSerializer)
    def retrieve(self, request: Request) -> Response:
        return Response(BudgetSerializer(_budget(_tenant(request))).data)

    @extend_schema(request=BudgetSerializer, responses=BudgetSerializer)
    def partial_update(self, request: Request) -> Response:
        tenant = _tenant(request)
        form = BudgetSerializer(_budget(tenant), data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        form.save()
        changed = ", ".join(form.validated_data)[:200]
        record(AuditAction.BUDGET_CHANGED, tenant=tenant, actor=cast("User", request.user), target=changed)
        tell_levels(tenant=tenant)
        return Response(BudgetSerializer(_budget(tenant)).data)


class InvoiceSerializer(serializers.ModelSerializer[Invoice]):
    total = serializers.DecimalField(max_digits=20, decimal_places=3)
    due = serializers.DecimalField(max_digits=20, decimal_places=3)

    class Meta:
        model = Invoice
        fields = ["id", "number", "status", "currency", "total", "due", "created_at", "due_on", "page_url", "pdf_url"]


class InvoiceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Invoice]):
    """Invoices of the organisation's own subscription, as Stripe last told."""

    serializer_class = InvoiceSerializer
    permission_classes = [IsManager]
    required_scopes = SCOPES
    queryset = Invoice.objects.none()

    def get_queryset(self) -> QuerySet[Invoice]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return Invoice.objects.filter(tenant=_tenant(self.request))


budget = BudgetViewSet.as_view({"get": "retrieve", "patch": "partial_update"})
urlpatterns = [
    path("budget/", budget, name="budget"),
    path("costs/", CostViewSet.as_view({"get": "retrieve"}), name="costs"),
]
router = DefaultRouter()
router.register("ledger", LedgerViewSet, basename="ledger-entry")
router.register("invoices", InvoiceViewSet, basename="invoice")
