"""SendGrid's own lists of addresses it does not deliver to. Read 2026-11: its reference of the suppressions API."""

from __future__ import annotations

from urllib.parse import quote

import requests
from django.conf import settings

from crm.email.enums import SuppressionReason
from crm.email.providers.sendgrid import DEFAULT_URL

TIMEOUT_S = (5.0, 20.0)
_LISTS = {SuppressionReason.BOUNCED: "bounces", SuppressionReason.INVALID: "invalid_emails"}


class SuppressionApiError(Exception):
    """Not done; the same may work later."""


def forget(*, address: str, reason: SuppressionReason | str) -> bool:
    """Have the provider deliver to an address again that bounced; False when there is no list to take it from.

    Raises SuppressionApiError. An address it does not have is as good as taken off. Safe to repeat.
    """
    name, env = _LISTS.get(SuppressionReason(reason)), settings.ENV
    if name is None or not env.sendgrid_api_key:
        return False
    url = f"{(env.sendgrid_api_url or DEFAULT_URL).rstrip('/')}/v3/suppression/{name}/{quote(address)}"
    try:
        answer = requests.delete(
            url,
            headers={"Authorization": f"Bearer {env.sendgrid_api_key}"},
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise SuppressionApiError(type(error).__name__) from None
    if answer.status_code == 429 or answer.status_code >= 500:
        raise SuppressionApiError(f"answered {answer.status_code}")
    return answer.status_code in (200, 204, 404)
