"""Here news of the provider is heard, but where a test is about its absence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _heard(settings: Any) -> Iterator[None]:
    env = settings.ENV
    before, env.sendgrid_webhook_public_key = env.sendgrid_webhook_public_key, ["the key news is signed with"]
    yield
    env.sendgrid_webhook_public_key = before
