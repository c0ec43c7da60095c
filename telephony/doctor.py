"""What keeps calls from working as they could, each with the step that cures it."""

from __future__ import annotations

from collections.abc import Iterator

from telephony.services.carrier import outage


def findings() -> Iterator[tuple[str, str]]:
    """Yield what is wrong, and its cure; nothing here asks a provider."""
    if found := outage():
        why = f"status {found.status}" if found.status else "no answer"
        yield (
            f"Twilio's API does not say how calls ended ({why}, {found.count} times since {found.since:%d %b %H:%M} UTC): "
            "calls whose end nobody told us go by our own evidence, up to 15 minutes late.",
            "Allow calls to be read with TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, and HTTPS to TWILIO_API_URL.",
        )
