"""The addresses at which the carrier reaches us: public base URL and path, and nothing a proxy may have changed."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings

STREAM_PATH = "/api/ws/telephony/voice-agent/stream"


def webhook_url(name: str, **query: str) -> str:
    url = f"{settings.PUBLIC_URL}/api/webhooks/{name}"
    return f"{url}?{urlencode(query)}" if query else url


def stream_url() -> str:
    return settings.ENV.media_url + STREAM_PATH
