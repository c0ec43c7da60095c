from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.text import get_text_list

PROVIDERS = {"twilio": "Twilio", "deepgram": "Deepgram", "stripe": "Stripe", "sendgrid": "SendGrid", "openai": "OpenAI"}


def installation(request: HttpRequest) -> dict[str, Any]:
    """What every page knows: which providers are played by stand-ins, and who is looking."""
    played = settings.ENV.sandboxed_providers
    return {
        "sandboxed_providers": played,
        "stand_ins": get_text_list([PROVIDERS.get(name, name) for name in played], "and"),
        "outbox_url": settings.ENV.outbox_url,
        "membership": getattr(request, "membership", None),
        "tenant": getattr(request, "tenant", None),
    }
