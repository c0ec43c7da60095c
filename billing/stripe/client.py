"""Stripe's API: one method for each thing the product asks. Dicts out; errors become ours; every call is bounded.

The library retries by itself what may pass (connections, 409, 429, 5xx), under one idempotency key for all tries. What is
made gets a key of our own, so that a second process that tries again makes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    import stripe

TIMEOUT_S = 10.0
RETRIES = 2
API_URL = "https://api.stripe.com"
Object = dict[str, Any]


class StripeError(Exception):
    """Stripe did not do it. `retryable`: it may later. `code` is Stripe's own, or ""."""

    def __init__(self, message: str, *, retryable: bool, code: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.code = code
        self.status = status


class NotConfiguredError(StripeError):
    def __init__(self) -> None:
        super().__init__("No Stripe account is configured.", retryable=False)


class StripeClient:
    def __init__(self, secret_key: str, *, base_url: str = "", version: str = "") -> None:
        import stripe

        url = base_url or API_URL
        self._client = stripe.StripeClient(
            secret_key,
            stripe_version=version or None,
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
            base_addresses={"api": url, "meter_events": url},
        )

    def _do(self, work: Callable[[stripe.StripeClient], Any]) -> Object:
        """Raises StripeError."""
        import stripe

        try:
            found = work(self._client).to_dict(for_json=True)
        except stripe.StripeError as error:
            raise _ours(error) from None
        return dict(found)

    def _all(self, work: Callable[[stripe.StripeClient], Any], most: int) -> Iterator[Object]:
        import stripe

        try:
            for number, one in enumerate(work(self._client).auto_paging_iter()):
                if number >= most:
                    return
                yield one.to_dict(for_json=True)
        except stripe.StripeError as error:
            raise _ours(error) from None

    def account(self) -> Object:
        return self._do(lambda client: client.v1.accounts.retrieve_current())

    # --- customers -----------------------------------------------------------------------------------------------

    def create_customer(self, *, name: str, email: str, metadata: Mapping[str, str], key: str) -> Object:
        params: Any = {"name": name, "email": email, "metadata": dict(metadata)}
        return self._do(lambda client: client.v1.customers.create(params, {"idempotency_key": key}))

    def customer(self, customer_id: str) -> Object:
        return self._do(lambda client: client.v1.customers.retrieve(customer_id))

    def customers_with_email(self, email: str) -> list[Object]:
        return list(self._all(lambda client: client.v1.customers.list({"email": email, "limit": 20}), 20))

    # --- plans ---------------------------------------------------------------------------------------------------

    def create_product(self, *, name: str, key: str) -> Object:
        return self._do(lambda client: client.v1.products.create({"name": name}, {"idempotency_key": key}))

    def create_price(self, params: Any, *, key: str) -> Object:
        return self._do(lambda client: client.v1.prices.create(params, {"idempotency_key": key}))

    def create_meter(self, *, name: str, event_name: str, key: str) -> Object:
        params: Any = {
            "display_name": name,
            "event_name": event_name,
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        }
        return self._do(lambda client: client.v1.billing.meters.create(params, {"idempotency_key": key}))

    # --- subscriptions -------------------------------------------------------------------------------------------

    def create_checkout(self, params: Any, *, key: str) -> Object:
        return self._do(lambda client: client.v1.checkout.sessions.create(params, {"idempotency_key": key}))

    def checkout(self, session_id: str) -> Object:
        return self._do(lambda client: client.v1.checkout.sessions.retrieve(session_id))

    def create_portal(self, *, customer_id: str, return_url: str) -> Object:
        params: Any = {"customer": customer_id, "return_url": return_url}
        return self._do(lambda client: client.v1.billing_portal.sessions.create(params))

    def subscription(self, subscription_id: str) -> Object:
        return self._do(lambda client: client.v1.subscriptions.retrieve(subscription_id))

    def subscriptions_of(self, customer_id: str) -> list[Object]:
        params: Any = {"customer": customer_id, "status": "all", "limit": 20}
        return list(self._all(lambda client: client.v1.subscriptions.list(params), 20))

    def change_subscription(self, subscription_id: str, params: Any, *, key: str) -> Object:
        return self._do(lambda client: client.v1.subscriptions.update(subscription_id, params, {"idempotency_key": key}))

    def cancel_subscription(self, subscription_id: str) -> Object:
        """End it now, with what was used charged on a last invoice."""
        return self._do(lambda client: client.v1.subscriptions.cancel(subscription_id, {"invoice_now": True}))

    # --- invoices and payments -----------------------------------------------------------------------------------

    def invoice(self, invoice_id: str) -> Object:
        return self._do(lambda client: client.v1.invoices.retrieve(invoice_id))

    def invoices_of(self, customer_id: str, *, most: int = 100) -> list[Object]:
        params: Any = {"customer": customer_id, "limit": min(most, 100)}
        return list(self._all(lambda client: client.v1.invoices.list(params), most))

    def charges_of(self, customer_id: str, *, most: int = 50) -> list[Object]:
        params: Any = {"customer": customer_id, "limit": min(most, 100)}
        return list(self._all(lambda client: client.v1.charges.list(params), most))

    # --- meters --------------------------------------------------------------------------------------------------

    def report_use(self, *, event_name: str, customer_id: str, value: str, identifier: str, at: datetime) -> Object:
        params: Any = {
            "event_name": event_name,
            "payload": {"stripe_customer_id": customer_id, "value": value},
            "identifier": identifier,
            "timestamp": int(at.timestamp()),
        }
        return self._do(
            lambda client: client.v1.billing.meter_events.create(params, {"idempotency_key": f"meter:{identifier}"})
        )

    def take_back_use(self, *, event_name: str, identifier: str) -> Object:
        params: Any = {"event_name": event_name, "type": "cancel", "cancel": {"identifier": identifier}}
        return self._do(lambda client: client.v1.billing.meter_event_adjustments.create(params))

    def reported_use(self, meter_id: str, *, customer_id: str, begin: datetime, end: datetime) -> str:
        """Return what Stripe has added up, as a number's digits. Times are cut to the minute."""
        params: Any = {
            "customer": customer_id,
            "start_time": int(begin.timestamp()) // 60 * 60,
            "end_time": -(-int(end.timestamp()) // 60) * 60,
            "limit": 100,
        }
        rows = self._all(lambda client: client.v1.billing.meters.event_summaries.list(meter_id, params), 1_000)
        return str(sum((Decimal(str(row["aggregated_value"])) for row in rows), Decimal(0)))

    # --- events --------------------------------------------------------------------------------------------------

    def events_since(self, at: datetime, *, most: int = 10_000) -> Iterator[Object]:
        """Yield events as webhooks carry them, the newest first. Stripe keeps them for thirty days."""
        params: Any = {"created": {"gte": int(at.timestamp())}, "limit": 100}
        return self._all(lambda client: client.v1.events.list(params), most)


def _ours(error: stripe.StripeError) -> StripeError:
    import stripe

    passing = isinstance(error, stripe.APIConnectionError | stripe.RateLimitError) or (error.http_status or 0) >= 500
    passing = passing or error.http_status == 409
    text = error.user_message or "Stripe could not be reached."
    return StripeError(text, retryable=passing, code=error.code or "", status=error.http_status)


@lru_cache(maxsize=64)
def client_for(secret_key: str, base_url: str, version: str) -> StripeClient:
    return StripeClient(secret_key, base_url=base_url, version=version)


def is_configured() -> bool:
    return bool(settings.ENV.stripe_secret_key)


def installation_client() -> StripeClient:
    """Raises NotConfiguredError."""
    env = settings.ENV
    if not env.stripe_secret_key:
        raise NotConfiguredError
    return client_for(env.stripe_secret_key, env.stripe_api_url, env.stripe_api_version)
