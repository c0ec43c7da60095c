"""One process that plays every provider on loopback: `python -m sandbox.server`.

Besides the providers' own routes it has a few for whoever runs a demonstration: `POST /sandbox/calls` places a call
and streams what happens as one JSON object a line, `POST /sandbox/faults` orders a fault of the voice agent, and
`GET /sandbox/mail` is the outbox: every e-mail as its recipient gets it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.caller import DEMO, Caller, Line
from sandbox.deepgram.agent import AgentServer, from_environment
from sandbox.deepgram.faults import Fault, Kind
from sandbox.keeping import Keeper
from sandbox.mcp import McpStandIn
from sandbox.models.account import ModelAccount
from sandbox.models.anthropic import AnthropicApi
from sandbox.models.openai import OpenAiApi
from sandbox.sendgrid.account import MailAccount
from sandbox.sendgrid.api import Api
from sandbox.sendgrid.orders import Orders
from sandbox.sendgrid.outbox import Outbox
from sandbox.stripe.api import Bank, StripeApi
from sandbox.stripe.orders import Orders as StripeOrders
from sandbox.stripe.pages import Pages
from sandbox.twilio.call import CallFaults
from sandbox.twilio.network import Network
from sandbox.twilio.rest import Rest
from sandbox.twilio.stream import StreamFaults


class Sandbox:
    def __init__(
        self,
        network: Network,
        agent: AgentServer,
        mail: MailAccount,
        models: ModelAccount,
        bank: Bank,
        recordings_dir: Path,
    ) -> None:
        self.network = network
        self.models = models
        self.bank = bank
        self.mcp = McpStandIn()
        self.agent = agent
        self.mail = mail
        self.rest = Rest(network)
        self.recordings_dir = recordings_dir

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        app.add_routes(self.rest.routes())
        app.add_routes(Api(self.mail).routes())
        app.add_routes(Orders(self.mail).routes())
        app.add_routes(Outbox(self.mail).routes())
        app.add_routes(OpenAiApi(self.models).routes())
        app.add_routes(AnthropicApi(self.models).routes())
        app.add_routes(StripeApi(self.bank).routes())
        app.add_routes(Pages(self.bank).routes())
        app.add_routes(StripeOrders(self.bank).routes())
        app.add_routes(self.mcp.routes())
        app.add_routes(
            [
                web.get("/v1/agent/converse", self.agent.handle),
                web.get("/v1/projects", self.agent.projects),
                web.get("/v1/projects/{project}/usage/breakdown", self.agent.usage),
                web.get("/sandbox", self.alive),
                web.post("/sandbox/calls", self.place_call),
                web.post("/sandbox/faults", self.order_fault),
                web.post("/sandbox/people", self.set_people),
                web.post("/sandbox/texts", self.place_text),
                web.get("/sandbox/texts", self.list_texts),
            ]
        )
        return app

    async def alive(self, request: web.Request) -> web.Response:
        return web.json_response({"calls": len(self.network.calls), "agent_sessions": len(self.agent.sessions)})

    async def place_call(self, request: web.Request) -> web.StreamResponse:
        """Body: `to`, `from`, optionally `script` (a list of lines) and `faults`. Answers with a line per event."""
        order = await request.json()
        script = [Line(**line) for line in order["script"]] if "script" in order else DEMO
        faults = dict(order.get("faults") or {})
        call_faults = CallFaults(**{**faults, "stream": StreamFaults(**faults.pop("stream", {}))})
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        call = self.network.place(
            from_number=order["from"], to_number=order["to"], caller=Caller(script), faults=call_faults
        )
        call.listeners.append(queue.put_nowait)
        ended = asyncio.create_task(self._when_done(call, queue))
        try:
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            ended.cancel()
        path = call.caller.save(self.recordings_dir / f"{call.sid}.wav")
        last = {"kind": "recording", "path": str(path), "sid": call.sid, "said": call.caller.said}
        await response.write(json.dumps(last).encode() + b"\n")
        await response.write_eof()
        return response

    @staticmethod
    async def _when_done(call: Any, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
        await call.done.wait()
        queue.put_nowait(None)

    async def order_fault(self, request: web.Request) -> web.Response:
        order = await request.json()
        fault = Fault(**{**order, "kind": Kind(order["kind"])})
        self.agent.faults.order(fault)
        return web.json_response(asdict(fault))

    async def set_people(self, request: web.Request) -> web.Response:
        self.network.people |= await request.json()
        return web.json_response(self.network.people)

    async def place_text(self, request: web.Request) -> web.Response:
        """Have somebody write to a number. Body: `to`, `from`, `text`, optionally `media` (a list of types)."""
        order = await request.json()
        media = tuple(order.get("media") or ())
        sid, status = await self.network.texts.write(
            from_number=order["from"], to_number=order["to"], text=order.get("text", ""), media=media
        )
        return web.json_response({"sid": sid, "status": status})

    async def list_texts(self, request: web.Request) -> web.Response:
        return web.json_response(self.network.texts.taken)


def build() -> Sandbox:
    network = Network(
        account_sid=os.environ["TWILIO_ACCOUNT_SID"],
        auth_token=os.environ["TWILIO_AUTH_TOKEN"],
        public_base_url=os.environ["PUBLIC_BASE_URL"].rstrip("/"),
    )
    network.texts.reports = True
    mail = MailAccount(
        os.environ.get("SENDGRID_API_KEY", ""),
        public_base_url=os.environ["PUBLIC_BASE_URL"],
        signing_key=os.environ.get("SANDBOX_MAIL_SIGNING_KEY", ""),
        senders=frozenset({os.environ.get("SMTP_FROM_EMAIL", "")}),
    )
    mail.inbound_url = os.environ.get("SANDBOX_MAIL_INBOUND_URL", "")
    models = ModelAccount(os.environ.get("SANDBOX_MODELS_KEY", ""))
    public = os.environ["PUBLIC_BASE_URL"].rstrip("/")
    bank = Bank(
        os.environ.get("STRIPE_SECRET_KEY", ""),
        os.environ.get("STRIPE_WEBHOOK_SECRET", ""),
        url=f"{public}/api/webhooks/stripe",
        base_url=os.environ.get("SANDBOX_URL", ""),
    )
    return Sandbox(network, from_environment(), mail, models, bank, Path(os.environ["STATE_DIR"]) / "demo-calls")


async def serve(listening: socket.socket) -> None:
    sandbox = build()
    keeper = Keeper(Path(os.environ["STATE_DIR"]) / "sandbox.json", bank=sandbox.bank, mail=sandbox.mail)
    keeper.load()
    saving = asyncio.create_task(keeper.run())
    runner = web.AppRunner(sandbox.application(), access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
    saving.cancel()
    keeper.save()
    await sandbox.network.close()
    await sandbox.mail.close()
    await sandbox.bank.close()
    await runner.cleanup()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))
