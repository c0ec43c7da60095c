"""A client of the e-mail stand-in."""

import httpx
import pytest

from sandbox.tests.letters import SENDER


@pytest.fixture
def mail(providers):
    providers.mail.senders.add(SENDER)
    return providers.mail


@pytest.fixture
def client(providers, mail):
    headers = {"Authorization": f"Bearer {mail.api_key}"}
    with httpx.Client(base_url=providers.url, headers=headers, timeout=5) as made:
        yield made
