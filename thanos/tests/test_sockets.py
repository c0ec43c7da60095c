"""The media protocol on a real socket: text by call-back, everything else as uvicorn has it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
import websockets
from websockets.frames import Frame, Opcode

from thanos.sockets import EXTENSION, MediaProtocol


class Server:
    """An application that takes text directly once it has seen `waits` messages the usual way."""

    def __init__(self, *, waits: int = 0) -> None:
        self.waits = waits
        self.taken: list[bytes] = []
        self.ended: asyncio.Event = asyncio.Event()
        self.write: Any = None

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(self.waits):
            await receive()
            await asyncio.sleep(0.05)  # more arrives meanwhile, and waits in the queue
        self.write = scope["extensions"][EXTENSION](self.taken.append)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self.ended.set()

    async def __aenter__(self) -> str:
        config = uvicorn.Config(
            self.app, port=0, ws=MediaProtocol, lifespan="off", log_config=None, interface="asgi3", ws_max_size=65_536
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/"

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.taken) < count:
                await asyncio.sleep(0.01)


async def test_texts_arrive_in_order_those_that_waited_first():
    server = Server(waits=1)
    async with server as url, websockets.connect(url) as client:
        for number in range(20):
            await client.send(str(number))
        await server.until(19)

    assert server.taken == [str(number).encode() for number in range(1, 20)]


async def test_fragmented_binary_and_control_frames_keep_their_meaning():
    server = Server()
    async with server as url, websockets.connect(url) as client:
        await client.send(["in ", "two ", "parts"])
        await client.send(b"binary")
        await (await client.ping())
        await client.send("after")
        await server.until(1)

    assert server.taken == [b"after"]  # the others came through `receive`


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 70_000])
async def test_what_is_written_is_read_whatever_its_length(length):
    server = Server()
    async with server as url, websockets.connect(url, max_size=None) as client:
        await client.send("hello")
        await server.until(1)

        assert server.write("x" * length) is True
        assert await client.recv() == "x" * length


async def test_a_closed_socket_is_not_written_to():
    server = Server()
    async with server as url:
        async with websockets.connect(url) as client:
            await client.send("hello")
            await server.until(1)
        await asyncio.wait_for(server.ended.wait(), 5)

        assert server.write("late") is False


async def test_a_message_over_the_limit_closes_the_socket():
    server = Server()
    async with server as url, websockets.connect(url) as client:
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await client.send("x" * 70_000)
            await client.recv()

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    assert server.taken == []


async def test_nonsense_on_the_wire_closes_the_socket():
    server = Server()
    async with server as url, websockets.connect(url) as client:
        client.transport.write(Frame(Opcode.TEXT, b"unmasked").serialize(mask=False))
        with pytest.raises(websockets.ConnectionClosedError):
            await client.recv()


async def _raw(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a socket by hand, so that frames can be cut anywhere."""
    port = int(url.split(":")[2].strip("/"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    request = f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    writer.write((request + "Sec-WebSocket-Version: 13\r\n\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


TEXTS = [b"", b"a", b"x" * 125, b"y" * 126, b"z" * 300, b"last"]


@pytest.mark.parametrize("piece", [1, 2, 5, 7, 64, 333, 10_000])
async def test_frames_may_arrive_in_pieces_of_any_size(piece):
    wire = b"".join(Frame(Opcode.TEXT, text).serialize(mask=True) for text in TEXTS)
    server = Server()
    async with server as url:
        _, writer = await _raw(url)
        for start in range(0, len(wire), piece):
            writer.write(wire[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)
        await server.until(len(TEXTS))
        writer.close()

    assert server.taken == TEXTS


@pytest.mark.parametrize("length", [1, 9])
async def test_control_frames_between_texts_are_answered(length):
    ping = Frame(Opcode.PING, b"p" * length).serialize(mask=True)
    close = Frame(Opcode.CLOSE, b"").serialize(mask=True)
    text = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
    server = Server()
    async with server as url:
        reader, writer = await _raw(url)
        writer.write(text + ping + text + close)
        answered = await asyncio.wait_for(reader.read(200), 5)
        await asyncio.wait_for(server.ended.wait(), 5)
        writer.close()

    assert server.taken == [b"hello", b"hello"]
    assert answered.startswith(Frame(Opcode.PONG, b"p" * length).serialize(mask=False))


async def test_frames_sent_with_the_handshake_are_the_librarys():
    server = Server()
    async with server as url:
        port = int(url.split(":")[2].strip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        wire = [Frame(Opcode.TEXT, text).serialize(mask=True) for text in (b"early", b"later")]
        writer.write((request + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode() + wire[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire[1])
        await server.until(1)
        writer.close()

    assert server.taken[-1] == b"later"
