from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def installation(request: HttpRequest) -> dict[str, Any]:
    """What every page knows: which providers are played by stand-ins, and who is looking."""
    return {
        "sandboxed_providers": settings.ENV.sandboxed_providers,
        "membership": getattr(request, "membership", None),
        "tenant": getattr(request, "tenant", None),
    }
