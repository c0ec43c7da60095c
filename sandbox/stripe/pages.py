"""What a payer sees: the checkout, the portal, an invoice. And for testers: time that passes, payments that fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from sandbox.stripe.account import DAY, Account, Object
from sandbox.stripe.api import Bank

FOLDER = Path(__file__).parent / "pages"
POLICY = "default-src 'none'; style-src 'self'; form-action *; base-uri 'none'; frame-ancestors 'none'"


def amount(minor: int | None, currency: str) -> str:
    return "by use" if minor is None else f"{minor / 100:,.2f} {currency.upper()}"


def day(at: int | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%d %b %Y}"


class Pages:
    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        loader = jinja2.FileSystemLoader(FOLDER)
        self._templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        self._templates.filters |= {"day": day}
        self._templates.globals |= {"amount": amount}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/stripe/style.css", self.style),
            web.get("/stripe/checkout/{id}", self.checkout),
            web.post("/stripe/checkout/{id}", self.finish_checkout),
            web.get("/stripe/portal/{id}", self.portal),
            web.post("/stripe/portal/{id}", self.use_portal),
            web.get("/stripe/invoices/{id}", self.invoice),
        ]

    async def style(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(FOLDER / "style.css")

    def _find(self, kind: str, request: web.Request) -> tuple[Account, Object]:
        for account in self.bank.accounts.values():
            if found := account.objects[kind].get(request.match_info["id"]):
                return account, found
        raise web.HTTPNotFound(text="There is nothing here.")

    def _page(self, name: str, **values: Any) -> web.Response:
        text = self._templates.get_template(name).render(**values)
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def checkout(self, request: web.Request) -> web.Response:
        account, session = self._find("session", request)
        prices = [account.get("price", line["price"]) for line in session["line_items"]]
        trial = (session.get("subscription_data") or {}).get("trial_period_days")
        customer = account.get("customer", session["customer"])
        return self._page(
            "checkout.html",
            account=account,
            session=session,
            prices=[(account.objects["product"].get(price["product"], {}).get("name", ""), price) for price in prices],
            trial=int(trial) if trial else 0,
            customer=customer,
            declined=request.query.get("declined"),
        )

    async def finish_checkout(self, request: web.Request) -> web.Response:
        account, session = self._find("session", request)
        what = str((await request.post()).get("what", ""))
        if what == "back":
            raise web.HTTPSeeOther(session.get("cancel_url") or session["success_url"])
        if what == "decline":
            raise web.HTTPSeeOther(f"{request.path}?declined=1")
        if session["status"] == "open":
            complete(account, session)
        raise web.HTTPSeeOther(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))

    async def portal(self, request: web.Request) -> web.Response:
        account, portal = self._find("portal", request)
        subs = [one for one in account.objects["subscription"].values() if one["customer"] == portal["customer"]]
        invoices = [one for one in account.objects["invoice"].values() if one["customer"] == portal["customer"]]
        return self._page(
            "portal.html",
            account=account,
            portal=portal,
            subs=list(reversed(subs)),
            invoices=list(reversed(invoices))[:12],
            now=account.now(),
        )

    async def use_portal(self, request: web.Request) -> web.Response:
        account, portal = self._find("portal", request)
        form = await request.post()
        what, sub_id = str(form.get("what", "")), str(form.get("subscription", ""))
        actions: dict[str, Callable[[], Any]] = {
            "card": lambda: account.pay_open(portal["customer"]),
            "fail": lambda: setattr(account, "fails_next", 1),
        }
        if sub_id:
            sub = account.get("subscription", sub_id)
            actions |= {
                "cancel": lambda: account.change(sub, {"cancel_at_period_end": "true"}),
                "resume": lambda: account.change(sub, {"cancel_at_period_end": "false"}),
                "renew": lambda: account.renew(sub),
                "end-trial": lambda: account.change(sub, {"trial_end": "now"}),
            }
        if what in actions:
            actions[what]()
        raise web.HTTPSeeOther(request.path)

    async def invoice(self, request: web.Request) -> web.Response:
        account, invoice = self._find("invoice", request)
        return self._page("invoice.html", account=account, invoice=invoice)


def complete(account: Account, session: Object) -> Object:
    """The payer has paid: the subscription begins, and the session says so."""
    data = session.get("subscription_data") or {}
    trial = int(data.get("trial_period_days") or 0)
    sub = account.subscribe(
        customer=session["customer"],
        prices=[(line["price"], int(line["quantity"]) if "quantity" in line else None) for line in session["line_items"]],
        trial_end=account.now() + trial * DAY if trial else None,
        metadata=data.get("metadata"),
    )
    paid = "no_payment_required" if trial else "paid" if sub["status"] == "active" else "unpaid"
    session |= {"status": "complete", "payment_status": paid, "subscription": sub["id"]}
    account.tell("checkout.session.completed", session)
    return sub
