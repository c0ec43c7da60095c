"""The carrier's REST API, as far as the product uses it: calls, recordings, numbers, messages (version 2010-04-01)."""

from __future__ import annotations

import base64
import uuid
from typing import Any

from aiohttp import web

from sandbox.twilio.call import CarrierCall
from sandbox.twilio.network import Network

NUMBER_FIELDS = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "SmsUrl": "sms_url",
    "SmsMethod": "sms_method",
    "FriendlyName": "friendly_name",
}


def _error(status: int, code: int, message: str) -> web.Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return web.json_response({"code": code, "message": message, "more_info": more, "status": status}, status=status)


class Rest:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.away = 0  # answers 503 this many times

    def routes(self) -> list[web.RouteDef]:
        base = "/2010-04-01/Accounts/{account}"
        return [
            web.get(base + "/Calls/{sid}.json", self._guard(self.get_call)),
            web.post(base + "/Calls/{sid}.json", self._guard(self.update_call)),
            web.post(base + "/Calls/{sid}/Recordings.json", self._guard(self.start_recording)),
            web.get(base + "/Recordings/{sid}.wav", self._guard(self.get_recording)),
            web.delete(base + "/Recordings/{sid}.json", self._guard(self.delete_recording)),
            web.get(base + "/IncomingPhoneNumbers.json", self._guard(self.list_numbers)),
            web.post(base + "/IncomingPhoneNumbers.json", self._guard(self.buy_number)),
            web.post(base + "/IncomingPhoneNumbers/{sid}.json", self._guard(self.update_number)),
            web.delete(base + "/IncomingPhoneNumbers/{sid}.json", self._guard(self.release_number)),
            web.get(base + "/AvailablePhoneNumbers/{country}/Local.json", self._guard(self.offer_numbers)),
            web.post(base + "/Messages.json", self._guard(self.send_message)),
        ]

    def _guard(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            credentials = f"{self.network.account_sid}:{self.network.auth_token}"
            wanted = "Basic " + base64.b64encode(credentials.encode()).decode()
            if request.headers.get("Authorization") != wanted:
                return _error(401, 20003, "Authenticate")
            if self.away > 0:
                self.away -= 1
                return _error(503, 20503, "Service unavailable")
            return await handler(request)  # type: ignore[no-any-return]

        return guarded

    # --- calls ---------------------------------------------------------------------------------------------------

    def _call(self, request: web.Request) -> CarrierCall | None:
        return self.network.calls.get(request.match_info["sid"])

    def _call_json(self, call: CarrierCall) -> dict[str, Any]:
        duration, price = call.duration_s, self.network.price_per_minute
        known = None if duration is None or price is None else str(-price * -(-duration // 60))
        return {
            "sid": call.sid,
            "account_sid": self.network.account_sid,
            "to": call.to_number,
            "from": call.from_number,
            "status": call.status,
            "duration": None if duration is None else str(duration),
            "direction": "inbound",
            "price": known,
            "price_unit": "USD",
            "api_version": "2010-04-01",
        }

    async def get_call(self, request: web.Request) -> web.Response:
        call = self._call(request)
        return web.json_response(self._call_json(call)) if call else _error(404, 20404, "not found")

    async def update_call(self, request: web.Request) -> web.Response:
        call = self._call(request)
        if call is None:
            return _error(404, 20404, "not found")
        if call.ended_at is not None:
            return _error(400, 21220, "Call is not in-progress. Cannot redirect.")
        form = await request.post()
        call.update(url=str(form.get("Url", "")), twiml=str(form.get("Twiml", "")), status=str(form.get("Status", "")))
        return web.json_response(self._call_json(call))

    # --- recordings ----------------------------------------------------------------------------------------------

    async def start_recording(self, request: web.Request) -> web.Response:
        call = self._call(request)
        if call is None or call.ended_at is not None:
            return _error(404, 20404, "not found")
        form = await request.post()
        callback = str(form.get("RecordingStatusCallback", ""))
        sid = self.network.new_recording(call, source="StartCallRecordingAPI", callback=callback)
        body = {"sid": sid, "call_sid": call.sid, "status": "in-progress", "channels": 2, "duration": None, "track": "both"}
        return web.json_response(body, status=201)

    async def get_recording(self, request: web.Request) -> web.Response:
        recording = self.network.recordings.get(request.match_info["sid"])
        if recording is None or recording.deleted or recording.status != "completed":
            return _error(404, 20404, "not found")
        return web.Response(body=self.network.recording_wav(recording.sid), content_type="audio/x-wav")

    async def delete_recording(self, request: web.Request) -> web.Response:
        recording = self.network.recordings.get(request.match_info["sid"])
        if recording is None or recording.deleted:
            return _error(404, 20404, "not found")
        recording.deleted = True
        return web.Response(status=204)

    # --- numbers -------------------------------------------------------------------------------------------------

    async def list_numbers(self, request: web.Request) -> web.Response:
        wanted = request.query.get("PhoneNumber", "")
        found = [row for row in self.network.numbers.values() if not wanted or row["phone_number"] == wanted]
        return self._page("incoming_phone_numbers", found)

    def _page(self, key: str, rows: list[dict[str, Any]]) -> web.Response:
        paging = {"page": 0, "page_size": 50, "start": 0, "end": max(len(rows) - 1, 0), "uri": "", "next_page_uri": None}
        return web.json_response({key: rows, **paging, "first_page_uri": "", "previous_page_uri": None})

    async def buy_number(self, request: web.Request) -> web.Response:
        form = await request.post()
        number = str(form.get("PhoneNumber", ""))
        if any(row["phone_number"] == number for row in self.network.numbers.values()):
            return _error(400, 21422, "Phone number is not available.")
        sid = "PN" + uuid.uuid4().hex
        row: dict[str, Any] = {
            "sid": sid,
            "account_sid": self.network.account_sid,
            "phone_number": number,
            "status": "in-use",
        }
        row |= {"friendly_name": number, "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False}}
        self.network.numbers[sid] = row
        self._take_fields(row, form)
        return web.json_response(row, status=201)

    async def update_number(self, request: web.Request) -> web.Response:
        row = self.network.numbers.get(request.match_info["sid"])
        if row is None:
            return _error(404, 20404, "not found")
        self._take_fields(row, await request.post())
        return web.json_response(row)

    @staticmethod
    def _take_fields(row: dict[str, Any], form: Any) -> None:
        for name, field in NUMBER_FIELDS.items():
            if name in form:
                row[field] = str(form[name])

    async def release_number(self, request: web.Request) -> web.Response:
        if self.network.numbers.pop(request.match_info["sid"], None) is None:
            return _error(404, 20404, "not found")
        return web.Response(status=204)

    async def offer_numbers(self, request: web.Request) -> web.Response:
        area = request.query.get("AreaCode") or "555"
        rows = [
            {
                "phone_number": f"+1{area}01{index:05d}"[:12],
                "friendly_name": f"({area}) 01{index}",
                "locality": "Springfield",
                "region": "OR",
                "iso_country": request.match_info["country"],
                "address_requirements": "none",
                "capabilities": {"voice": True, "SMS": True, "MMS": True},
            }
            for index in range(100, 110)
        ]
        return self._page("available_phone_numbers", rows)

    async def send_message(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if (code := self.network.texts.refusal_of(form)) is not None:
            return _error(400, code, "The message cannot be sent.")
        return web.json_response(self.network.texts.accept(form), status=201)
