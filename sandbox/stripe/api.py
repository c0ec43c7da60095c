"""The vendor's HTTP interface, as far as the product uses it. Which account is meant, its key says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.stripe.account import DAY, Account, Object, Refused
from sandbox.stripe.forms import parse
from sandbox.stripe.webhook import Hooks

Handler = Callable[[Account, web.Request, Object], Any]
MAX_AGE_S = 35 * DAY


class Bank:
    """Every account there is, by its secret key. The first is the installation's own."""

    def __init__(self, key: str, secret: str, *, url: str = "", base_url: str = "") -> None:
        self.base_url = base_url
        self.accounts: dict[str, Account] = {}
        self.own = self.open(key, secret, url=url, name="The installation")
        self.faults: list[tuple[str, int, float]] = []  # (part of a path, status, seconds): one request each

    def open(self, key: str, secret: str, *, url: str = "", name: str = "Sandbox") -> Account:
        account = Account(key, hooks=Hooks(secret, url), base_url=self.base_url, name=name)
        self.accounts[key] = account
        return account

    async def close(self) -> None:
        for account in self.accounts.values():
            await account.hooks.close()


class StripeApi:
    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def routes(self) -> list[web.RouteDef]:
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/v1/account", lambda account, *_: _account(account)),
            ("POST", "/v1/customers", add_customer),
            ("GET", "/v1/customers", lambda a, r, _: _list(a, r, "customer", "email")),
            ("GET", "/v1/customers/{id}", lambda a, r, _: a.get("customer", r.match_info["id"])),
            ("POST", "/v1/customers/{id}", change_customer),
            ("POST", "/v1/products", lambda a, _, form: a.add("product", a.new("product", "prod", **form))),
            ("POST", "/v1/prices", add_price),
            ("GET", "/v1/prices", lambda a, r, _: _list(a, r, "price")),
            ("GET", "/v1/prices/{id}", lambda a, r, _: a.get("price", r.match_info["id"])),
            ("POST", "/v1/checkout/sessions", add_session),
            ("GET", "/v1/checkout/sessions/{id}", lambda a, r, _: a.get("session", r.match_info["id"])),
            ("POST", "/v1/billing_portal/sessions", add_portal),
            ("GET", "/v1/subscriptions", lambda a, r, _: _list(a, r, "subscription", "customer")),
            ("GET", "/v1/subscriptions/{id}", lambda a, r, _: a.get("subscription", r.match_info["id"])),
            ("POST", "/v1/subscriptions/{id}", change_subscription),
            ("DELETE", "/v1/subscriptions/{id}", lambda a, r, _: a.cancel(a.get("subscription", r.match_info["id"]))),
            ("GET", "/v1/invoices", lambda a, r, _: _list(a, r, "invoice", "customer")),
            ("POST", "/v1/invoices/create_preview", preview),
            ("GET", "/v1/invoices/{id}", lambda a, r, _: a.get("invoice", r.match_info["id"])),
            ("GET", "/v1/charges", lambda a, r, _: _list(a, r, "charge", "customer")),
            ("POST", "/v1/billing/meters", add_meter),
            ("GET", "/v1/billing/meters", lambda a, r, _: _list(a, r, "meter")),
            ("POST", "/v1/billing/meter_events", add_meter_event),
            ("POST", "/v1/billing/meter_event_adjustments", cancel_meter_event),
            ("GET", "/v1/billing/meters/{id}/event_summaries", summaries),
            ("GET", "/v1/events", list_events),
        ]
        return [
            web.route(method, path, self._guard(handler), **({"allow_head": False} if method == "GET" else {}))
            for method, path, handler in table
        ]

    def _guard(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            account = self.bank.accounts.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
            if account is None:
                return _refusal(Refused("Invalid API Key provided", status=401))
            for index, (part, status, seconds) in enumerate(self.bank.faults):
                if part in request.path:
                    del self.bank.faults[index]
                    await asyncio.sleep(seconds)
                    if status:
                        return _refusal(Refused("A fault, as ordered.", status=status, kind="api_error"))
                    break
            form = parse((await request.read()).decode())
            try:
                return self._once(account, request, form, handler)
            except Refused as refused:
                return _refusal(refused)

        return guarded

    @staticmethod
    def _once(account: Account, request: web.Request, form: Object, handler: Handler) -> web.Response:
        """A POST under an idempotency key that was answered is answered the same."""
        key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        asked = json.dumps([request.path, form], sort_keys=True)
        if key in account.answers:
            before, answer = account.answers[key]
            if before != asked:
                text = "Keys for idempotent requests can only be used with the same parameters they were first used with."
                raise Refused(text, kind="idempotency_error")
            return web.json_response(answer, headers={"Idempotent-Replayed": "true"})
        answer = handler(account, request, form)
        if key:
            account.answers[key] = (asked, json.loads(json.dumps(answer)))
        return web.json_response(answer, headers={"Request-Id": "req_sandbox"})


def _refusal(refused: Refused) -> web.Response:
    return web.json_response(refused.body, status=refused.status, headers={"Request-Id": "req_sandbox"})


def _account(account: Account) -> Object:
    profile = {"name": account.name}
    return {"id": account.id, "object": "account", "business_profile": profile, "default_currency": "usd"}


def _list(account: Account, request: web.Request, kind: str, *fields: str) -> Object:
    rows = list(reversed(account.objects[kind].values()))
    for field in fields:
        if wanted := request.query.get(field):
            rows = [row for row in rows if str(row.get(field, "")).lower() == wanted.lower()]
    return _page(request, rows)


def _page(request: web.Request, rows: list[Object]) -> Object:
    after, limit = request.query.get("starting_after"), int(request.query.get("limit", "10"))
    if after:
        position = next((index for index, row in enumerate(rows) if row["id"] == after), len(rows))
        rows = rows[position + 1 :]
    return {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit, "url": request.path}


def add_customer(account: Account, request: web.Request, form: Object) -> Object:
    made = account.add("customer", account.new("customer", "cus", **{"name": None, "email": None, **form}))
    account.tell("customer.created", made)
    return made


def change_customer(account: Account, request: web.Request, form: Object) -> Object:
    found = account.get("customer", request.match_info["id"])
    found |= form
    account.tell("customer.updated", found)
    return found


def add_price(account: Account, request: web.Request, form: Object) -> Object:
    if form.get("product") not in account.objects["product"]:
        raise Refused(f"No such product: '{form.get('product')}'", code="resource_missing", param="product")
    recurring = {"interval": "month", "usage_type": "licensed", "meter": None, **(form.pop("recurring", None) or {})}
    unit = form.pop("unit_amount", None)
    made = account.new("price", "price", **form)
    made |= {"recurring": recurring, "active": True, "unit_amount": None if unit is None else int(unit)}
    made.setdefault("unit_amount_decimal", unit)
    return account.add("price", made)


def add_session(account: Account, request: web.Request, form: Object) -> Object:
    account.get("customer", form.get("customer", ""))
    lines = form.get("line_items") or []
    for line in lines:
        metered = account.get("price", line.get("price", ""))["recurring"]["usage_type"] == "metered"
        if metered and "quantity" in line:
            raise Refused("Quantity should not be specified where usage_type is `metered`.", param="line_items")
    if not lines or form.get("mode") != "subscription" or not form.get("success_url"):
        raise Refused("Missing required param.", param="line_items")
    made = account.new("checkout.session", "cs_test", **form)
    made |= {"status": "open", "payment_status": "unpaid", "subscription": None, "expires_at": account.now() + DAY}
    made["url"] = f"{account.base_url}/stripe/checkout/{made['id']}"
    return account.add("session", made)


def add_portal(account: Account, request: web.Request, form: Object) -> Object:
    account.get("customer", form.get("customer", ""))
    made = account.new("billing_portal.session", "bps", **form)
    made["url"] = f"{account.base_url}/stripe/portal/{made['id']}"
    return account.add("portal", made)


def change_subscription(account: Account, request: web.Request, form: Object) -> Object:
    found = account.get("subscription", request.match_info["id"])
    if found["status"] == "canceled":
        raise Refused("A canceled subscription can only update its cancellation_details.", code="resource_missing")
    return account.change(found, form)


def preview(account: Account, request: web.Request, form: Object) -> Object:
    sub = account.get("subscription", form.get("subscription", ""))
    first = sub["items"]["data"][0]
    total = sum((item["price"]["unit_amount"] or 0) for item in sub["items"]["data"])
    return {"id": "upcoming_in", "object": "invoice", "total": total, "currency": sub["currency"]} | {
        "next_payment_attempt": first["current_period_end"]
    }


def add_meter(account: Account, request: web.Request, form: Object) -> Object:
    name = form.get("event_name", "")
    if any(meter["event_name"] == name for meter in account.objects["meter"].values()):
        raise Refused(f"An active meter already exists with the event name {name}.", code="resource_already_exists")
    return account.add("meter", account.new("billing.meter", "mtr", status="active", **form))


def add_meter_event(account: Account, request: web.Request, form: Object) -> Object:
    identifier, payload = form.get("identifier") or f"auto_{len(account.meter_events)}", form.get("payload") or {}
    timestamp = int(form.get("timestamp") or account.now())
    if identifier in account.meter_events:
        raise Refused(f"An event already exists with identifier {identifier}.", code="duplicate_meter_event")
    if not account.now() - MAX_AGE_S <= timestamp <= account.now() + 300:
        raise Refused("The timestamp must be within the past 35 days.", code="timestamp_too_far_in_past", param="timestamp")
    if payload.get("stripe_customer_id") not in account.objects["customer"]:
        raise Refused("The customer does not exist.", code="meter_event_customer_not_found")
    if not any(meter["event_name"] == form.get("event_name") for meter in account.objects["meter"].values()):
        raise Refused("No meter has this event name.", code="no_meter")
    if float(payload.get("value", -1)) < 0:
        raise Refused("The value must not be negative.", code="meter_event_invalid_value")
    made = {"object": "billing.meter_event", "identifier": identifier, "event_name": form["event_name"]}
    made |= {"payload": payload, "timestamp": timestamp, "created": account.now(), "livemode": False}
    account.meter_events[identifier] = made
    return made


def cancel_meter_event(account: Account, request: web.Request, form: Object) -> Object:
    identifier = (form.get("cancel") or {}).get("identifier", "")
    if account.meter_events.pop(identifier, None) is None:
        raise Refused("There is no such event.", code="resource_missing")
    return {
        "object": "billing.meter_event_adjustment",
        "status": "pending",
        "type": "cancel",
        "cancel": {"identifier": identifier},
    }


def summaries(account: Account, request: web.Request, form: Object) -> Object:
    meter, query = request.match_info["id"], request.query
    begin, end = int(query["start_time"]), int(query["end_time"])
    total = account.used(meter, query["customer"], begin, end)
    row = {"id": "mtrusg_1", "object": "billing.meter_event_summary", "aggregated_value": float(total), "meter": meter}
    return _page(request, [{**row, "start_time": begin, "end_time": end}])


def list_events(account: Account, request: web.Request, form: Object) -> Object:
    rows = list(reversed(account.events.values()))
    if since := request.query.get("created[gte]"):
        rows = [row for row in rows if row["created"] >= int(since)]
    return _page(request, rows)
