"""Boring rows."""

from __future__ import annotations

from typing import Any

from crm.hooks.enums import SUBSCRIBABLE, Event
from crm.hooks.models import WebhookDelivery, WebhookEndpoint

SECRET = "whsec_of-the-tests"
PUBLIC_URL = "https://93.184.215.14/hooks"  # an address, so that nothing is looked up


def make_endpoint(**fields: Any) -> WebhookEndpoint:
    values = {"url": PUBLIC_URL, "events": list(SUBSCRIBABLE), "secret": SECRET, **fields}
    return WebhookEndpoint.objects.create(**values)


def make_delivery(endpoint: WebhookEndpoint, **fields: Any) -> WebhookDelivery:
    values = {"event": Event.CONTACT_CREATED, "payload": {"id": "c-1", "name": "Zoë Ångström"}, **fields}
    return WebhookDelivery.objects.create(endpoint=endpoint, **values)
