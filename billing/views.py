from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing import selectors
from billing.access import access_of
from billing.enums import Kind, Period
from billing.exporting import lines_of
from billing.forms import BudgetForm
from billing.models import Account, Budget, BudgetAlert, Invoice, Plan
from billing.naming import names_of
from billing.periods import day_of, first_day, next_first_day
from billing.selectors import allowances, subscribed
from billing.services import subscribing
from billing.services.budgets import standings, tell_levels
from billing.services.syncing import sync_account, sync_invoices
from billing.stripe.client import StripeError, is_configured
from tenants.access import MemberRequest, manager_required, owner_required
from tenants.audit import record_request
from tenants.enums import AuditAction


def _budget(request: MemberRequest) -> Budget:
    defaults = {"currency": settings.ENV.billing_currency}
    return Budget.objects.get_or_create(tenant=request.tenant, defaults=defaults)[0]


def _month(request: MemberRequest) -> date:
    """The first day of the month that is asked for, this one unless told. Raises Http404."""
    wanted = request.GET.get("month", "")
    if not wanted:
        return first_day(Period.MONTH, day_of(timezone.now(), request.tenant.time_zone))
    try:
        return date.fromisoformat(f"{wanted}-01")
    except ValueError:
        raise Http404("not a month") from None


@require_GET
@manager_required
def costs(request: MemberRequest) -> HttpResponse:
    month, today = _month(request), day_of(timezone.now(), request.tenant.time_zone)
    budget = _budget(request)
    report = selectors.month_report(tenant=request.tenant, day=month, currency=budget.currency)
    is_now = month == first_day(Period.MONTH, today)
    context = {
        "report": report,
        "month": month,
        "earlier": first_day(Period.MONTH, month - timedelta(days=1)),
        "later": None if is_now else next_first_day(Period.MONTH, month),
        "forecast": selectors.month_forecast(tenant=request.tenant, today=today, currency=budget.currency)
        if is_now
        else None,
        "is_now": is_now,
        "standings": standings(tenant=request.tenant, budget=budget) if is_now else [],
        "currency": budget.currency,
    }
    return render(request, "billing/costs.html", context)


@require_GET
@manager_required
def costs_csv(request: MemberRequest) -> HttpResponseBase:
    """Every entry of a month, as the ledger has it."""
    month = _month(request)
    rows = selectors.entries(tenant=request.tenant, day__gte=month, day__lt=next_first_day(Period.MONTH, month)).order_by(
        "pk"
    )
    record_request(request, AuditAction.FILE_DOWNLOADED, target=f"costs of {month:%Y-%m}")
    response = StreamingHttpResponse(lines_of(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="costs-{month:%Y-%m}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


@require_GET
@manager_required
def entries(request: MemberRequest) -> HttpResponse:
    """The ledger's rows behind a figure."""
    try:
        day = date.fromisoformat(request.GET["day"]) if request.GET.get("day") else None
        before = int(request.GET.get("before") or 0) or None
    except ValueError:
        raise Http404("not a day or a place") from None
    asked = {name: request.GET.get(name, "") for name in ("kind", "leg", "provider", "item", "subject")}
    rows = list(selectors.entries(tenant=request.tenant, before=before, day=day, **asked)[: selectors.PAGE_SIZE + 1])
    names = names_of("call", {row.subject for row in rows if row.kind == Kind.CALL})
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "rows": [(row, names.get(row.subject)) for row in rows[: selectors.PAGE_SIZE]],
        "next": rows[selectors.PAGE_SIZE - 1].pk if len(rows) > selectors.PAGE_SIZE else None,
        "query": query.urlencode(),
        "day": day,
        "asked": [value for value in asked.values() if value],
    }
    return render(request, "billing/entries.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def budget(request: MemberRequest) -> HttpResponse:
    row = _budget(request)
    form = BudgetForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        form.save()
        changed = ", ".join(form.changed_data)
        record_request(request, AuditAction.BUDGET_CHANGED, target=changed[:200])
        tell_levels(tenant=request.tenant)
        messages.success(request, "Saved. The next call keeps to it.")
        return redirect("billing:budget")
    context = {
        "form": form,
        "standings": standings(tenant=request.tenant),
        "alerts": BudgetAlert.objects.filter(tenant=request.tenant)[:20],
        "currency": row.currency,
    }
    return render(request, "billing/budget.html", context, status=422 if form.errors else 200)


# --- plan and invoices -----------------------------------------------------------------------------------------------


# A form that ends on another site needs its leave, redirects included.
_MAY_LEAD_TO_STRIPE = csp_update(
    {"form-action": [*settings.ENV.stripe_pages, *filter(None, [settings.ENV.stripe_api_url])]}
)


@_MAY_LEAD_TO_STRIPE
@require_GET
@manager_required
def plan(request: MemberRequest) -> HttpResponse:
    account = Account.objects.select_related("plan").filter(tenant=request.tenant).first()
    if session := request.GET.get("session"):
        return _come_back(request, session)
    now = timezone.now()
    context = {
        "account": account,
        "access": access_of(subscribed(account) if account else None, now),
        "plans": Plan.objects.filter(is_public=True).prefetch_related("meters"),
        "invoices": Invoice.objects.filter(tenant=request.tenant)[:24],
        "allowances": allowances(account) if account else [],
        "can_pay": is_configured(),
        "is_over": account is None or account.status in subscribing.OVER or not account.subscription_id,
        "is_owner": request.membership.is_owner,
    }
    return render(request, "billing/plan.html", context)


def _come_back(request: MemberRequest, session: str) -> HttpResponse:
    """Somebody comes back from Stripe's checkout: what became of it is asked, and not taken from the address."""
    try:
        subscribing.finish_checkout(tenant=request.tenant, session_id=session)
    except StripeError:
        messages.info(request, "Stripe has not told us yet; this page follows as soon as it does.")
    return redirect("billing:plan")


def _plan_url(request: MemberRequest) -> str:
    return request.build_absolute_uri(reverse("billing:plan"))


def _to_stripe(request: MemberRequest, what: str, address: Callable[[], str]) -> HttpResponse:
    """Send the browser to a page of Stripe's, or say why not."""
    try:
        url = address()
    except (subscribing.SubscribingError, StripeError) as error:
        messages.error(request, str(error))
        return redirect("billing:plan")
    record_request(request, AuditAction.SUBSCRIPTION_CHANGED, target=what)
    response = redirect(url)
    response.status_code = 303
    return response


@require_POST
@owner_required
def subscribe(request: MemberRequest, slug: str) -> HttpResponse:
    chosen = get_object_or_404(Plan, slug=slug, is_public=True)
    return _to_stripe(
        request,
        f"checkout of {chosen}",
        lambda: subscribing.start_checkout(
            tenant=request.tenant, plan=chosen, by=request.user, return_url=_plan_url(request)
        ),
    )


@require_POST
@owner_required
def change(request: MemberRequest, slug: str) -> HttpResponse:
    chosen = get_object_or_404(Plan, slug=slug, is_public=True)
    try:
        subscribing.change_plan(tenant=request.tenant, plan=chosen)
    except (subscribing.SubscribingError, StripeError) as error:
        messages.error(request, str(error))
    else:
        record_request(request, AuditAction.SUBSCRIPTION_CHANGED, target=f"changed to {chosen}")
        messages.success(request, f"You have {chosen} now. What was paid already is reckoned up on the next invoice.")
    return redirect("billing:plan")


@require_POST
@owner_required
def portal(request: MemberRequest) -> HttpResponse:
    return _to_stripe(
        request, "portal", lambda: subscribing.open_portal(tenant=request.tenant, return_url=_plan_url(request))
    )


@require_POST
@manager_required
def refresh(request: MemberRequest) -> HttpResponse:
    """Read everything again from Stripe, for whoever does not want to wait for its news."""
    account = subscribing.account_for(request.tenant)
    try:
        sync_account(account_id=account.pk)
        if account.customer_id:
            sync_invoices(account=account)
    except StripeError as error:
        messages.error(request, str(error))
    return redirect("billing:plan")
