"""SendGrid's Domain Authentication API: the only place that knows its addresses, fields and codes.

Read 2026-11-20: https://www.twilio.com/docs/sendgrid/api-reference/domain-authentication

Every call is one request with a time limit and is never repeated here: what may be asked again, and when, is the
caller's to decide by `is_passing`. Answers are read defensively and bounded, as they end up on pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from django.conf import settings

BASE_URL = "https://api.sendgrid.com"
TIMEOUT_S = (5.0, 20.0)  # to connect; between two pieces of the answer
MAX_RECORDS = 12  # it sends three or four
LONGEST_TEXT = 300
LONGEST_ID = 40
PAGE = 50


class DomainApiError(Exception):
    """No result. `is_passing`: the same may work later; otherwise the provider has refused, in the words of `str()`."""

    def __init__(
        self, text: str, *, is_passing: bool, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(text[:LONGEST_TEXT])
        self.is_passing = is_passing
        self.status = status  # None: there was no answer
        self.retry_after_s = retry_after_s


class UnknownDomainError(DomainApiError):
    """The provider knows no domain with this id."""

    def __init__(self, text: str) -> None:
        super().__init__(text, is_passing=False, status=404)


@dataclass(frozen=True, slots=True)
class DnsRecord:
    key: str
    type: str  # "CNAME", "TXT", "MX"
    host: str  # the full name
    data: str


@dataclass(frozen=True, slots=True)
class RegisteredDomain:
    id: str
    domain: str
    subdomain: str
    records: list[DnsRecord]


@dataclass(frozen=True, slots=True)
class Finding:
    is_valid: bool | None  # None: the provider says nothing about this record
    reason: str


@dataclass(frozen=True, slots=True)
class Validation:
    is_valid: bool
    findings: dict[str, Finding]  # by the provider's key


class DomainApi:
    """Every method raises DomainApiError."""

    def __init__(self, *, api_key: str, base_url: str = "") -> None:
        self._url = (base_url or BASE_URL).rstrip("/") + "/v3/whitelabel/domains"
        self._headers = {"Authorization": f"Bearer {api_key}"}

    def find(self, domain: str) -> list[RegisteredDomain]:
        """Return what is registered under exactly this name. The filter of the provider may match more."""
        answer = self._ask("GET", "", params={"domain": domain, "limit": PAGE})
        if not isinstance(answer, list):
            raise _garbled()
        return [found for item in answer if (found := _registered(item)).domain == domain]

    def create(self, *, domain: str, subdomain: str) -> RegisteredDomain:
        """Not idempotent: look it up first."""
        body = {"domain": domain, "subdomain": subdomain, "automatic_security": True, "default": False}
        return _registered(self._ask("POST", "", json=body))

    def validate(self, provider_id: str) -> Validation:
        """Make the provider look at DNS now. Raises UnknownDomainError when it has forgotten the domain."""
        answer = self._ask("POST", f"/{provider_id}/validate")
        if not isinstance(answer, dict) or not isinstance(answer.get("valid"), bool):
            raise _garbled()
        results = answer.get("validation_results")
        results = results if isinstance(results, dict) else {}
        return Validation(answer["valid"], {str(key): _finding(result) for key, result in results.items()})

    def delete(self, provider_id: str) -> None:
        """Have it gone; already gone is as good."""
        try:
            self._ask("DELETE", f"/{provider_id}")
        except UnknownDomainError:
            pass  # what was wanted

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = requests.request(
                method, self._url + path, headers=self._headers, timeout=TIMEOUT_S, allow_redirects=False, **options
            )
        except requests.RequestException:
            raise DomainApiError("SendGrid could not be reached.", is_passing=True) from None
        if answer.status_code == 404:
            raise UnknownDomainError(_words(answer))
        if not answer.ok or answer.is_redirect:
            raise _refusal(answer)
        if answer.status_code == 204:
            return None
        try:
            return answer.json()
        except ValueError:
            raise _garbled() from None


def domain_api() -> DomainApi | None:
    """Return the configured account's; None without one (sending through SMTP needs none)."""
    env = settings.ENV
    return DomainApi(api_key=env.sendgrid_api_key, base_url=env.sendgrid_api_url) if env.sendgrid_api_key else None


def _refusal(answer: requests.Response) -> DomainApiError:
    status = answer.status_code
    if status in (400, 413, 415, 422):  # about what was asked for: it would be the same another time
        return DomainApiError(_words(answer), is_passing=False, status=status)
    # A key that is wrong or lacks the right (401, 403) is put right by whoever runs this installation, not by asking.
    text = _words(answer) if status in (401, 403) else f"SendGrid is in trouble and answered {status}."
    return DomainApiError(text, is_passing=True, status=status, retry_after_s=_seconds(answer.headers.get("Retry-After")))


def _words(answer: requests.Response) -> str:
    """The provider's own, as it wraps them: {"errors": [{"message": "…"}]}."""
    try:
        texts = [str(error["message"]) for error in answer.json()["errors"] if error.get("message")]
    except (ValueError, TypeError, KeyError, AttributeError):
        texts = []
    return " ".join(texts)[:LONGEST_TEXT] or f"SendGrid answered {answer.status_code} without saying why."


def _seconds(value: str | None) -> float | None:
    return float(value[:6]) if value and value.isascii() and value.isdecimal() else None


def _garbled() -> DomainApiError:
    return DomainApiError("SendGrid gave an answer that cannot be read.", is_passing=True)


def _registered(item: Any) -> RegisteredDomain:
    try:
        dns = item["dns"]
        records = [
            DnsRecord(
                key=str(key)[:LONGEST_ID],
                type=str(record["type"]).upper()[:10],
                host=str(record["host"])[:LONGEST_TEXT],
                data=str(record["data"])[:2000],
            )
            for key, record in list(dns.items())[:MAX_RECORDS]
        ]
        number = int(item["id"])  # becomes part of addresses
        return RegisteredDomain(str(number), str(item["domain"]).lower(), str(item["subdomain"] or ""), records)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise _garbled() from None


def _finding(result: Any) -> Finding:
    result = result if isinstance(result, dict) else {}
    is_valid = result.get("valid")
    return Finding(is_valid if isinstance(is_valid, bool) else None, str(result.get("reason") or "")[:LONGEST_TEXT])
