"""SendGrid's v3 API: one request for many messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

from crm.email.providers.base import Accepted, Answer, Fault, NoAnswer, NotSent, Outgoing, Refused
from crm.email.providers.payload import (
    MAX_BYTES,
    MAX_RECIPIENTS,
    MAX_SUBSTITUTION_BYTES,
    request_of,
    unwritable,
)
from crm.hooks.backoff import retry_after_s

DEFAULT_URL = "https://api.sendgrid.com"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
# A gateway that lost the server behind it does not know whether the request arrived there: 52x are a CDN's.
_NOT_DEFINITE = frozenset({408, 502, 504, *range(520, 530)})
_ACCOUNT = frozenset({401, 403})
_PLACE = re.compile(r"personalizations[.\[](\d+)")


class SendGrid:
    """One account. Used by one thread at a time; the connection is kept open between requests."""

    name = "sendgrid"
    max_recipients = MAX_RECIPIENTS
    max_bytes = MAX_BYTES

    def __init__(
        self,
        *,
        api_key: str,
        url: str = "",
        substitutions: bool = True,
        reports_events: bool = True,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.reports_events = reports_events  # whether we can tell that news is the provider's
        self.max_varying_bytes = MAX_SUBSTITUTION_BYTES if substitutions else 0
        self._url = f"{(url or DEFAULT_URL).rstrip('/').removesuffix('/v3')}/v3/mail/send"
        self._timeout = (CONNECT_TIMEOUT_S, timeout_s)
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor a .netrc of the machine has a say in this
        self._session.headers.update({"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"})
        # No retries by the library: whether a request may be repeated is decided by us.
        self._session.mount(self._url, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))

    def send(self, batch: Outgoing) -> Answer:
        """Ask once. Raises nothing: an error would leave it open what became of everybody in the batch."""
        try:
            body = orjson.dumps(request_of(batch))
        except (ValueError, TypeError):  # UnicodeError is the one, orjson's the other
            return unwritable(batch)
        try:
            answer = self._session.post(self._url, data=body, timeout=self._timeout, allow_redirects=False)
            return read_answer(answer.status_code, answer.headers, answer.content, now=datetime.now(UTC))
        except Exception as error:
            return NotSent(_kind(error)) if _was_never_written(error) else NoAnswer(_kind(error))

    def close(self) -> None:
        self._session.close()


def _kind(error: Exception) -> str:
    """Name what went wrong. The error's own text may hold addresses of this machine's network."""
    if isinstance(error, requests.Timeout):
        return "The provider did not answer in time."
    return "The connection to the provider failed." if isinstance(error, requests.ConnectionError) else type(error).__name__


def _was_never_written(error: Exception) -> bool:
    """Refused, no such host, no connection in time, a wrong certificate. Anything else may have broken behind the
    last byte."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    if isinstance(error, requests.exceptions.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in str(error)
    found: Any = error.args[0] if error.args else None
    reason = getattr(found, "reason", found)
    return any(kind.__name__ == "NewConnectionError" for kind in type(reason).__mro__)  # urllib3's


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Answer:
    """Return what an HTTP answer means."""
    if status in (200, 202):  # 200: the vendor's own sandbox mode, which checks and sends nothing
        return Accepted(headers.get("X-Message-Id", "")[:120], status)
    if status in _NOT_DEFINITE or 200 <= status < 300:  # another success may have been one
        return NoAnswer(f"The provider answered {status}.")
    return Refused(
        status=status,
        faults=_faults(body),
        is_retryable=status == 429 or status >= 500,
        is_too_large=status == 413,
        is_account=status in _ACCOUNT,
        retry_after_s=_wait_s(headers, now) if status in (429, 503) else None,
    )


def _faults(body: bytes) -> tuple[Fault, ...]:
    try:
        found = orjson.loads(body)["errors"]
        return tuple(_fault(str(each.get("message") or ""), str(each.get("field") or "")) for each in found)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return ()


def _fault(text: str, field: str) -> Fault:
    place = _PLACE.search(field)
    return Fault(f"{text} ({field})"[:300] if field else text[:300], int(place[1]) if place else None)


def _wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    if (asked := retry_after_s(headers.get("Retry-After"), now=now)) is not None:
        return asked
    reset = headers.get("X-RateLimit-Reset", "")  # the moment, in Unix time
    return max(0.0, int(reset) - now.timestamp()) if reset.isascii() and reset.isdigit() else None
