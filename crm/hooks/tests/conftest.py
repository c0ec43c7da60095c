from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm.hooks.models import WebhookEndpoint
from crm.hooks.tests.factories import make_endpoint
from crm.hooks.tests.receiver import Receiver
from tenants.context import entered
from tenants.models import Tenant


@pytest.fixture
def loopback(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose owner has opened this machine to webhooks."""
    monkeypatch.setattr(settings.ENV, "webhook_allowed_networks", ["127.0.0.0/8"])


@pytest.fixture
def receiver(loopback: None) -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture
def endpoint(in_alice: Tenant, receiver: Receiver) -> WebhookEndpoint:
    """Alice's webhook, at the receiver."""
    return make_endpoint(url=receiver.url, description="Alice's warehouse")


@pytest.fixture
def bobs(bob: Tenant, receiver: Receiver) -> WebhookEndpoint:
    """Bob's webhook, at the same receiver: what could leak would arrive there."""
    with entered(bob):
        return make_endpoint(url=receiver.url, description="Bob's secret project")
