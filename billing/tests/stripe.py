"""What a person, and Stripe, do in these tests."""

from __future__ import annotations

import requests
from django.test import Client

from billing.services import events

RETURN = "https://alice.test/billing/plan/"


def pay(providers, url: str, what: str = "pay") -> requests.Response:
    """Do on Stripe's page what a person does."""
    return requests.post(url, data={"what": what}, allow_redirects=False, timeout=10)


def take_news(bank) -> None:
    """Hand every event that waits to the product, as Stripe posts them."""
    for post in bank.hooks.take():
        answer = Client().post(
            "/api/webhooks/stripe", post.body, content_type="application/json", headers={**post.headers, "host": "any"}
        )
        assert answer.status_code == 200
    events.apply_waiting()


def the_subscription(bank):
    (found,) = bank.objects["subscription"].values()
    return found
