"""Twilio's REST API: the only place that knows its URLs, fields and codes. Errors become ours; every call is bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from telephony.twilio.errors import NotConfiguredError, NotFoundError, TelephonyError

TIMEOUT_S = 10.0
T = TypeVar("T")


class _RedirectingHttp(TwilioHttpClient):  # type: ignore[misc]
    """Sends every product's requests to one base address, so that another server can stand in."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=TIMEOUT_S)
        self._base = urlsplit(base_url)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        url = urlunsplit((self._base.scheme, self._base.netloc, self._base.path + parts.path, parts.query, ""))
        return super().request(method, url, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class CarrierCall:
    """`price` is what the call costs, positive; None until some time after its end."""

    status: str
    duration_s: int | None
    price: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class SentText:
    """`segments` is None where the carrier does not say."""

    sid: str
    segments: int | None


@dataclass(frozen=True, slots=True)
class OwnedNumber:
    sid: str
    number: str


@dataclass(frozen=True, slots=True)
class OfferedNumber:
    number: str
    locality: str
    region: str


@dataclass(frozen=True, slots=True)
class NumberWebhooks:
    voice_url: str
    fallback_url: str
    status_url: str
    sms_url: str


def _cost(price: object) -> Decimal | None:
    """The carrier writes what is to be paid as a negative number, and nothing while it does not know."""
    try:
        return None if price in (None, "") else -Decimal(str(price))
    except InvalidOperation:
        return None


class TwilioClient:
    """Raises NotConfiguredError, NotFoundError or TelephonyError from every method."""

    def __init__(self, *, account_sid: str, auth_token: str, base_url: str) -> None:
        if not (account_sid and auth_token):
            raise NotConfiguredError("No Twilio account is configured.", retryable=False)
        self._auth = (account_sid, auth_token)
        self._base_url = base_url
        self._client = Client(account_sid, auth_token, http_client=_RedirectingHttp(base_url))

    def fetch_call(self, call_sid: str) -> CarrierCall:
        call = self._do(lambda: self._client.calls(call_sid).fetch())
        duration_s = int(call.duration) if call.duration else None
        return CarrierCall(str(call.status), duration_s, _cost(call.price), str(call.price_unit or "").upper())

    def hang_up(self, call_sid: str) -> None:
        self._do(lambda: self._client.calls(call_sid).update(status="completed"))

    def redirect_call(self, call_sid: str, url: str) -> None:
        """Make the carrier ask `url` for new instructions now; a running media stream ends."""
        self._do(lambda: self._client.calls(call_sid).update(url=url, method="POST"))

    def send_sms(self, *, from_number: str, to_number: str, text: str, status_url: str) -> SentText:
        """Send a text message; return its SID, and in how many pieces the carrier sends it. Its fate goes to the URL."""
        message = self._do(
            lambda: self._client.messages.create(from_=from_number, to=to_number, body=text, status_callback=status_url)
        )
        segments = str(message.num_segments or "")
        return SentText(str(message.sid), int(segments) if segments.isdigit() else None)

    def start_recording(self, call_sid: str, *, status_url: str) -> str:
        """Record both sides on two channels; return the recording's SID."""
        recording = self._do(
            lambda: self._client.calls(call_sid).recordings.create(
                recording_channels="dual",
                recording_status_callback=status_url,
                recording_status_callback_event=["in-progress", "completed", "absent"],
            )
        )
        return str(recording.sid)

    def download_recording(self, recording_sid: str) -> bytes:
        """Return the WAV file. A 404 just after the callback is usual, and retryable."""
        path = f"/2010-04-01/Accounts/{self._auth[0]}/Recordings/{recording_sid}.wav"
        try:
            response = requests.get(self._base_url + path, auth=self._auth, timeout=60)
        except requests.RequestException as error:
            raise TelephonyError(f"download failed: {type(error).__name__}", retryable=True) from None
        if response.status_code != 200:
            raise TelephonyError(
                "download refused", retryable=response.status_code in (404, 429) or response.status_code >= 500
            )
        return response.content

    def delete_recording(self, recording_sid: str) -> None:
        self._do(lambda: self._client.recordings(recording_sid).delete())

    def find_owned(self, number: str) -> OwnedNumber | None:
        owned = self._do(lambda: self._client.incoming_phone_numbers.list(phone_number=number, limit=1))
        return OwnedNumber(owned[0].sid, owned[0].phone_number) if owned else None

    def offers(self, *, country: str, area_code: str = "", contains: str = "") -> list[OfferedNumber]:
        available = self._client.available_phone_numbers(country).local
        found = self._do(
            lambda: available.list(
                area_code=int(area_code) if area_code else None, contains=contains or None, voice_enabled=True, limit=20
            )
        )
        return [OfferedNumber(offer.phone_number, offer.locality or "", offer.region or "") for offer in found]

    def buy(self, number: str, webhooks: NumberWebhooks) -> OwnedNumber:
        """Buy a number, which costs at once: one that is owned already is only pointed at us."""
        if owned := self.find_owned(number):
            self.point_at_us(owned.sid, webhooks)
            return owned
        bought = self._do(
            lambda: self._client.incoming_phone_numbers.create(phone_number=number, **self._webhook_fields(webhooks))
        )
        return OwnedNumber(bought.sid, bought.phone_number)

    def point_at_us(self, sid: str, webhooks: NumberWebhooks) -> None:
        self._do(lambda: self._client.incoming_phone_numbers(sid).update(**self._webhook_fields(webhooks)))

    @staticmethod
    def _webhook_fields(webhooks: NumberWebhooks) -> dict[str, str]:
        return {
            "voice_url": webhooks.voice_url,
            "voice_method": "POST",
            "voice_fallback_url": webhooks.fallback_url,
            "voice_fallback_method": "POST",
            "status_callback": webhooks.status_url,
            "status_callback_method": "POST",
            "sms_url": webhooks.sms_url,
            "sms_method": "POST",
        }

    def _do(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except TwilioRestException as error:
            if error.status == 404:
                raise NotFoundError("not known", retryable=False, status=404, provider_code=error.code) from None
            retryable = error.status == 429 or error.status >= 500
            raise TelephonyError("refused", retryable=retryable, status=error.status, provider_code=error.code) from None
        except (TwilioException, requests.RequestException) as error:
            # A list that fails raises the library's bare exception, with the answer only in its text.
            raise TelephonyError(f"no answer: {type(error).__name__}", retryable=True) from None
