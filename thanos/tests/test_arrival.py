"""Requests that do not arrive, on real sockets; and sockets that do not say what they are."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn

from thanos.arrival import PunctualProtocol
from thanos.sockets import EXTENSION
from thanos.waiting import counted


class Hasty(PunctualProtocol):
    headers_s = 0.3
    body_s = 0.4
    bytes_per_s = 1000


@asynccontextmanager
async def served():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=Hasty, lifespan="off", log_config=None, timeout_keep_alive=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        listening.close()


async def talk(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send pieces with pauses between and return what came until the other side closed."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setblocking(False)
        for piece in pieces:
            with suppress(ConnectionError):
                await loop.sock_sendall(client, piece)
            await asyncio.sleep(pause_s)
        found = b""
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                while data := await loop.sock_recv(client, 65_536):
                    found += data
        return found


async def test_who_says_nothing_is_shown_out():
    async with served() as port:
        answers = await asyncio.gather(*(talk(port) for _ in range(50)))

    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}


async def test_headers_that_come_byte_by_byte_have_the_same_time():
    async with served() as port:
        begun = asyncio.get_running_loop().time()
        answer = await talk(port, *[b"GET ", b"/ ", b"HTTP/1.1\r\n"], pause_s=0.09)
        took_s = asyncio.get_running_loop().time() - begun

    assert answer.startswith(b"HTTP/1.1 408")
    assert took_s < 2


async def test_half_a_body_is_not_waited_for():
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    async with served() as port:
        answers = await asyncio.gather(*(talk(port, head, b"half") for _ in range(20)))

    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}


async def test_a_body_that_is_slow_but_comes_is_taken():
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n"
    async with served() as port:
        answer = await talk(port, head, *[b"x" * 250] * 8, pause_s=0.1)

    assert answer.startswith(b"HTTP/1.1 200") and b"\r\n2000\r\n" in answer


async def test_the_next_request_of_a_connection_has_its_own_time():
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served() as port:
        answer = await talk(port, whole, whole, b"GET / HT", pause_s=0.2)

    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"HTTP/1.1 408") <= 1


async def test_sockets_that_say_nothing_are_counted_by_address():
    inside: list[Any] = []
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        inside.append(scope)
        await go.wait()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    def scope(address: str) -> dict[str, Any]:
        return {"type": "websocket", "client": (address, 1), "extensions": {EXTENSION: lambda take: take}}

    limited = counted(application, 2)
    tasks = [asyncio.create_task(limited(scope("10.0.0.1"), receive, send)) for _ in range(4)]
    tasks.append(asyncio.create_task(limited(scope("10.0.0.2"), receive, send)))
    await asyncio.sleep(0.05)
    assert len(inside) == 3, "two of the one address, one of the other"
    assert [message["type"] for message in sent] == ["websocket.close"] * 2

    inside[0]["extensions"][EXTENSION](lambda text: None)  # it has said which call it is, and is none of them any more
    tasks.append(asyncio.create_task(limited(scope("10.0.0.1"), receive, send)))
    await asyncio.sleep(0.05)
    assert len(inside) == 4

    go.set()
    await asyncio.gather(*tasks)
    tasks = [asyncio.create_task(limited(scope("10.0.0.1"), receive, send)) for _ in range(2)]
    await asyncio.gather(*tasks)
    assert len(inside) == 6
