"""Orders for whoever runs a demonstration: `POST /sandbox/stripe/shops` opens an account that has customers already."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.stripe.account import Account, Object
from sandbox.stripe.api import Bank


class Orders:
    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/sandbox/stripe/shops", self.open_shop)]

    async def open_shop(self, request: web.Request) -> web.Response:
        """Body: `key`, `secret`, `name`, optionally `url` for its webhooks and `customers` (name, email, owes).

        Repeated for the same key, what is new is added. Answers with the customers' ids by address.
        """
        order = await request.json()
        account = self.bank.accounts.get(order["key"]) or self.bank.open(order["key"], order["secret"], name=order["name"])
        account.hooks.url = order.get("url", account.hooks.url)
        made = {customer["email"]: sell(account, **customer)["id"] for customer in order.get("customers", [])}
        return web.json_response(made)


def sell(account: Account, *, name: str, email: str, owes: bool = False, amount: int = 3_200) -> Object:
    """Make a customer with a subscription; of one who owes, its first invoice stays open."""
    customer = account.add("customer", account.new("customer", "cus", name=name, email=email))
    product = account.add("product", account.new("product", "prod", name="Membership"))
    price: dict[str, Any] = account.new("price", "price", product=product["id"], currency="usd", unit_amount=amount)
    price["recurring"] = {"interval": "month", "usage_type": "licensed", "meter": None}
    account.add("price", price)
    account.fails_next = int(owes)
    account.subscribe(customer=customer["id"], prices=[(price["id"], 1)], trial_end=None, metadata={})
    return customer
