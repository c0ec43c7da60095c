"""One account: its objects, its clock, and how a subscription lives: trial, invoices, failed payments, its end."""

from __future__ import annotations

import secrets
import time
from calendar import monthrange
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.stripe.webhook import Hooks

API_VERSION = "2026-10-28.endive"
DAY = 86_400
Object = dict[str, Any]


class Refused(Exception):
    """A request the vendor would answer with an error."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error", **extra: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "message": message, **extra}}


class Account:
    def __init__(self, key: str, *, hooks: Hooks, base_url: str = "", name: str = "Sandbox") -> None:
        self.key = key
        self.id = "acct_" + secrets.token_hex(6)
        self.name = name
        self.hooks = hooks
        self.base_url = base_url
        self.skew_s = 0.0
        self.objects: dict[str, dict[str, Object]] = {
            kind: {}
            for kind in ("customer", "product", "price", "subscription", "invoice", "session", "portal", "meter", "charge")
        }
        self.meter_events: dict[str, Object] = {}  # by identifier
        self.events: dict[str, Object] = {}
        self.answers: dict[str, tuple[str, Any]] = {}  # by idempotency key: what was asked, and the answer
        self.fails_next = 0  # so many of the next payments fail

    # --- small things --------------------------------------------------------------------------------------------

    def now(self) -> int:
        return int(time.time() + self.skew_s)

    def new(self, kind: str, prefix: str, **values: Any) -> Object:
        made: Object = {"id": f"{prefix}_{secrets.token_hex(8)}", "object": kind, "created": self.now(), "livemode": False}
        return {**made, "metadata": {}, **values}

    def add(self, kind: str, made: Object) -> Object:
        self.objects[kind][str(made["id"])] = made
        return made

    def get(self, kind: str, identifier: str) -> Object:
        """Raises Refused."""
        found = self.objects[kind].get(identifier)
        if found is None:
            raise Refused(f"No such {kind}: '{identifier}'", status=404, code="resource_missing", param="id")
        return found

    def tell(self, type_: str, about: Object) -> None:
        event: Object = {
            "id": f"evt_{secrets.token_hex(10)}",
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "livemode": False,
            "type": type_,
            "data": {"object": dict(about)},
            "request": {"id": None, "idempotency_key": None},
        }
        self.events[event["id"]] = event
        self.hooks.add(event)

    # --- subscriptions -------------------------------------------------------------------------------------------

    def subscribe(
        self, *, customer: str, prices: list[tuple[str, int | None]], trial_end: int | None, metadata: Any
    ) -> Object:
        """Begin a subscription and its first invoice. Its payment may fail, as any."""
        now = self.now()
        sub = self.new("subscription", "sub", customer=customer, metadata=metadata or {}, start_date=now)
        first = self.get("price", prices[0][0])
        end = trial_end or _later(now, first["recurring"]["interval"])
        items = [self._item(sub["id"], price, quantity, now, end) for price, quantity in prices]
        sub |= {
            "status": "trialing" if trial_end else "active",
            "trial_start": now if trial_end else None,
            "trial_end": trial_end,
            "cancel_at_period_end": False,
            "cancel_at": None,
            "canceled_at": None,
            "ended_at": None,
            "collection_method": "charge_automatically",
            "currency": first["currency"],
            "latest_invoice": None,
            "items": {"object": "list", "data": items, "has_more": False, "url": "/v1/subscription_items"},
        }
        self.add("subscription", sub)
        self.tell("customer.subscription.created", sub)
        invoice = self.invoice(sub, reason="subscription_create", free=bool(trial_end), begin=now, end=now)
        if not self.pay(invoice):
            sub["status"] = "incomplete"
        self.tell("customer.subscription.updated", sub)
        return sub

    def _item(self, sub_id: str, price_id: str, quantity: int | None, begin: int, end: int) -> Object:
        price = self.get("price", price_id)
        made: Object = {
            "id": f"si_{secrets.token_hex(6)}",
            "object": "subscription_item",
            "subscription": sub_id,
            "price": price,
        }
        made |= {"current_period_start": begin, "current_period_end": end, "metadata": {}}
        return made if price["recurring"]["usage_type"] == "metered" else {**made, "quantity": quantity or 1}

    def renew(self, sub: Object) -> Object:
        """The period is over: an invoice for the next one and for what was used in this one."""
        first = sub["items"]["data"][0]
        begin, end = first["current_period_start"], first["current_period_end"]
        if sub["cancel_at_period_end"]:
            return self.cancel(sub)
        self.skew_s += max(0, end - self.now())
        invoice = self.invoice(sub, reason="subscription_cycle", begin=begin, end=end)
        for item in sub["items"]["data"]:
            item["current_period_start"] = end
            item["current_period_end"] = _later(end, first["price"]["recurring"]["interval"])
        sub["status"] = "active" if self.pay(invoice) else "past_due"
        self.tell("customer.subscription.updated", sub)
        return sub

    def cancel(self, sub: Object) -> Object:
        sub |= {"status": "canceled", "canceled_at": self.now(), "ended_at": self.now()}
        self.tell("customer.subscription.deleted", sub)
        return sub

    def change(self, sub: Object, wanted: Object) -> Object:
        items = sub["items"]["data"]
        for change in wanted.get("items") or []:
            known = next((item for item in items if item["id"] == change.get("id")), None)
            if str(change.get("deleted", "")).lower() == "true" and known is not None:
                items.remove(known)
            elif known is not None and "price" in change:
                known["price"] = self.get("price", change["price"])
            elif "price" in change:
                first = items[0]
                span = (first["current_period_start"], first["current_period_end"])
                items.append(self._item(sub["id"], change["price"], None, *span))
        if "cancel_at_period_end" in wanted:
            ends = str(wanted["cancel_at_period_end"]).lower() == "true"
            sub["cancel_at_period_end"] = ends
            sub["cancel_at"] = items[0]["current_period_end"] if ends else None
            sub["canceled_at"] = self.now() if ends else None
        if wanted.get("trial_end") == "now" and sub["status"] == "trialing":
            sub["trial_end"] = self.now()
            items[0]["current_period_end"] = self.now()
            return self.renew(sub)
        self.tell("customer.subscription.updated", sub)
        return sub

    # --- invoices ------------------------------------------------------------------------------------------------

    def invoice(self, sub: Object, *, reason: str, begin: int, end: int, free: bool = False) -> Object:
        lines = [self._line(sub, item, begin, end, free=free or reason == "preview") for item in sub["items"]["data"]]
        if reason == "subscription_create":
            lines = [line for line in lines if line["quantity"] is not None]
        total = sum(line["amount"] for line in lines)
        number = f"SBX-{len(self.objects['invoice']) + 1:04d}"
        made = self.new("invoice", "in", customer=sub["customer"], number=number, billing_reason=reason)
        made |= {
            "currency": sub["currency"],
            "status": "open",
            "total": total,
            "subtotal": total,
            "amount_due": total,
            "amount_paid": 0,
            "amount_remaining": total,
            "attempt_count": 0,
            "due_date": None,
            "period_start": begin,
            "period_end": end,
            "status_transitions": {"finalized_at": self.now(), "paid_at": None, "voided_at": None},
            "hosted_invoice_url": f"{self.base_url}/stripe/invoices/{made['id']}",
            "invoice_pdf": f"{self.base_url}/stripe/invoices/{made['id']}",
            "parent": {
                "type": "subscription_details",
                "subscription_details": {"subscription": sub["id"], "metadata": sub["metadata"]},
                "quote_details": None,
            },
            "lines": {"object": "list", "data": lines, "has_more": False, "url": f"/v1/invoices/{made['id']}/lines"},
        }
        self.add("invoice", made)
        sub["latest_invoice"] = made["id"]
        self.tell("invoice.created", made)
        self.tell("invoice.finalized", made)
        return made

    def _line(self, sub: Object, item: Object, begin: int, end: int, *, free: bool) -> Object:
        price = item["price"]
        if price["recurring"]["usage_type"] == "metered":
            quantity, amount = None, 0 if free else self._metered(price, sub["customer"], begin, end)
        else:
            quantity = item.get("quantity", 1)
            amount = 0 if free else price["unit_amount"] * quantity
        return {
            "id": f"il_{secrets.token_hex(6)}",
            "object": "line_item",
            "amount": amount,
            "quantity": quantity,
            "description": self.objects["product"].get(price["product"], {}).get("name", price["id"]),
            "period": {"start": begin, "end": end},
            "pricing": {"type": "price_details", "price_details": {"price": price["id"], "product": price["product"]}},
            "parent": {
                "type": "subscription_item_details",
                "subscription_item_details": {"subscription": sub["id"], "subscription_item": item["id"]},
            },
        }

    def used(self, meter_id: str, customer: str, begin: int, end: int) -> Decimal:
        name = self.get("meter", meter_id)["event_name"]
        return sum(
            (
                Decimal(event["payload"]["value"])
                for event in self.meter_events.values()
                if event["event_name"] == name
                and event["payload"]["stripe_customer_id"] == customer
                and begin <= event["timestamp"] < end
            ),
            Decimal(0),
        )

    def _metered(self, price: Object, customer: str, begin: int, end: int) -> int:
        left, amount, below = self.used(price["recurring"]["meter"], customer, begin, end), Decimal(0), Decimal(0)
        for tier in price.get("tiers") or [{"up_to": "inf", "unit_amount_decimal": price["unit_amount_decimal"]}]:
            up_to = None if tier["up_to"] in ("inf", None) else Decimal(tier["up_to"])
            part = left if up_to is None else min(left, up_to - below)
            amount += part * Decimal(tier.get("unit_amount_decimal") or tier.get("unit_amount") or 0)
            left, below = left - part, up_to or below
        return int(amount.quantize(Decimal(1), ROUND_HALF_UP))

    def pay(self, invoice: Object) -> bool:
        """Charge an open invoice; return whether that worked."""
        invoice["attempt_count"] += 1
        if invoice["total"] and self.fails_next > 0:
            self.fails_next -= 1
            self.tell("invoice.payment_failed", invoice)
            return False
        paid_at = self.now()
        invoice |= {"status": "paid", "amount_paid": invoice["total"], "amount_remaining": 0}
        invoice["status_transitions"]["paid_at"] = paid_at
        if invoice["total"]:
            charge = self.new("charge", "ch", customer=invoice["customer"], amount=invoice["total"])
            charge |= {"currency": invoice["currency"], "status": "succeeded", "amount_refunded": 0, "paid": True}
            charge |= {"receipt_url": invoice["hosted_invoice_url"], "description": f"Invoice {invoice['number']}"}
            self.tell("charge.succeeded", self.add("charge", charge))
            self.tell("invoice.payment_succeeded", invoice)
        self.tell("invoice.paid", invoice)
        return True

    def pay_open(self, customer: str) -> int:
        """A new card: everything that is open is tried again; return how much was paid."""
        count = 0
        for invoice in self.objects["invoice"].values():
            if invoice["customer"] == customer and invoice["status"] == "open":
                count += self.pay(invoice)
        for sub in self.objects["subscription"].values():
            if sub["customer"] == customer and sub["status"] in ("past_due", "incomplete", "unpaid") and count:
                sub["status"] = "active"
                self.tell("customer.subscription.updated", sub)
        return count


def _later(at: int, interval: str) -> int:
    begin = datetime.fromtimestamp(at, UTC)
    months = 12 if interval == "year" else 1
    index = begin.month - 1 + months
    year, month = begin.year + index // 12, index % 12 + 1
    return int(begin.replace(year=year, month=month, day=min(begin.day, monthrange(year, month)[1])).timestamp())
