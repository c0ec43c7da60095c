"""What whoever tests or demonstrates may order of the provider: faults, disorder, records in DNS, answers of recipients."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from sandbox.sendgrid.account import MailAccount
from sandbox.sendgrid.faults import Fault, Kind
from sandbox.sendgrid.replies import reply
from sandbox.sendgrid.webhook import Trouble


class Orders:
    def __init__(self, account: MailAccount) -> None:
        self.account = account

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/sandbox/mail/faults", self.order_fault),
            web.post("/sandbox/mail/trouble", self.order_trouble),
            web.post("/sandbox/mail/domains/{domain}/records", self.publish),
            web.post("/sandbox/mail/replies", self.reply),
            web.get("/sandbox/mail/counts", self.counts, allow_head=False),
        ]

    async def order_fault(self, request: web.Request) -> web.Response:
        """Body: the fields of a Fault, `kind` by its value."""
        order = await request.json()
        fault = Fault(**{**order, "kind": Kind(order["kind"])})
        self.account.faults.order(fault)
        return web.json_response(asdict(fault))

    async def order_trouble(self, request: web.Request) -> web.Response:
        """Body: any of the fields of Trouble; what was held back is let go when `hold` becomes false."""
        order: dict[str, Any] = await request.json()
        trouble = self.account.webhook.trouble
        for field in fields(Trouble):
            if field.name in order:
                setattr(trouble, field.name, order[field.name])
        if order.get("hold") is False:
            self.account.webhook.release()
        return web.json_response(asdict(trouble))

    async def publish(self, request: web.Request) -> web.Response:
        """Body: {"valid": true | false | ["dkim1", …]}. A domain that is not registered yet will have them when it is."""
        valid = (await request.json())["valid"]
        found = self.account.domains.publish(request.match_info["domain"], valid)
        return web.json_response(found.as_json() if found else {"domain": request.match_info["domain"], "valid": False})

    async def reply(self, request: web.Request) -> web.Response:
        """Body: {"message": "<key>", "text": "…"}; answers with the status the product gave."""
        order = await request.json()
        copy = self.account.find(order["message"])
        if copy is None:
            return web.json_response({"error": "There is no such message."}, status=404)
        outcome = await reply(self.account, copy, text=order["text"])
        return web.json_response({"outcome": outcome})

    async def counts(self, request: web.Request) -> web.Response:
        account = self.account
        webhook = account.webhook
        body = {"accepted": account.accepted, "recipients": account.recipients, "answers": dict(account.answers)}
        body["events"] = {"posted": webhook.posted, "refused": webhook.refused, "given_up": webhook.given_up}
        return web.json_response(body)
