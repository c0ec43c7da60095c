"""The yardstick: a bridge in the shape of the vendor's sample, without anything a product needs.

`websockets` on both sides, three tasks and two queues a call, `json` and `base64` from the standard library. The
sample gathers 20 frames before it sends them; this one sends each, as the product does.

    python -m bench.plain_bridge PORT AGENT_URL [uvloop]
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

FRAME_BYTES = 160
SETTINGS: dict[str, Any] = {
    "type": "Settings",
    "audio": {
        "input": {"encoding": "mulaw", "sample_rate": 8000},
        "output": {"encoding": "mulaw", "sample_rate": 8000, "container": "none"},
    },
    "agent": {"greeting": "Hello."},
}


async def handle_call(carrier: ServerConnection, agent_url: str) -> None:
    audio: asyncio.Queue[bytes] = asyncio.Queue()
    stream_sids: asyncio.Queue[str] = asyncio.Queue()
    async with websockets.connect(agent_url, additional_headers={"Authorization": "Token x"}) as agent:
        await agent.send(json.dumps(SETTINGS))
        tasks = [
            asyncio.create_task(send_to_agent(agent, audio)),
            asyncio.create_task(receive_from_agent(agent, carrier, stream_sids)),
            asyncio.create_task(receive_from_carrier(carrier, audio, stream_sids)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def send_to_agent(agent: ClientConnection, audio: asyncio.Queue[bytes]) -> None:
    while True:
        await agent.send(await audio.get())


async def receive_from_agent(agent: ClientConnection, carrier: ServerConnection, sids: asyncio.Queue[str]) -> None:
    stream_sid = await sids.get()
    async for message in agent:
        if isinstance(message, str):
            if json.loads(message)["type"] == "UserStartedSpeaking":
                await carrier.send(json.dumps({"event": "clear", "streamSid": stream_sid}))
            continue
        payload = base64.b64encode(message).decode("ascii")
        await carrier.send(json.dumps({"event": "media", "streamSid": stream_sid, "media": {"payload": payload}}))


async def receive_from_carrier(carrier: ServerConnection, audio: asyncio.Queue[bytes], sids: asyncio.Queue[str]) -> None:
    buffer = bytearray()
    async for message in carrier:
        data = json.loads(message)
        if data["event"] == "start":
            sids.put_nowait(data["start"]["streamSid"])
        elif data["event"] == "media":
            media = data["media"]
            if media["track"] == "inbound":
                buffer.extend(base64.b64decode(media["payload"]))
        elif data["event"] == "stop":
            return
        while len(buffer) >= FRAME_BYTES:
            audio.put_nowait(bytes(buffer[:FRAME_BYTES]))
            del buffer[:FRAME_BYTES]


async def serve(port: int, agent_url: str) -> None:
    async with websockets.serve(lambda carrier: handle_call(carrier, agent_url), "127.0.0.1", port):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    if "uvloop" in sys.argv[3:]:
        import uvloop

        uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
    else:
        asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
