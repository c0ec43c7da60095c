import asyncio

from telephony import outbox as module
from telephony.outbox import Outbox


class Socket:
    """An ASGI `send` whose peer reads only while `open` is set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[str] = []
        self.is_gone = False

    async def send(self, message: dict) -> None:
        await self.open.wait()
        if self.is_gone:
            raise ConnectionResetError
        self.sent.append(message.get("text", message["type"]))


async def test_what_fits_is_sent_on_the_spot():
    socket = Socket()
    outbox = Outbox(socket.send)

    outbox.send("a")
    outbox.send("b", is_audio=True)

    assert socket.sent == ["a", "b"]  # without having yielded to the event loop


async def test_what_does_not_fit_waits_in_order():
    socket = Socket()
    outbox = Outbox(socket.send)
    socket.open.clear()
    for text in "abc":
        outbox.send(text)
    assert socket.sent == []

    socket.open.set()
    await asyncio.sleep(0.01)
    outbox.send("d")

    assert socket.sent == ["a", "b", "c", "d"]


async def test_a_full_queue_drops_the_oldest_audio_and_no_control_message(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    socket = Socket()
    outbox = Outbox(socket.send)
    socket.open.clear()
    outbox.send("under way")
    outbox.send("mark")
    for text in ("1", "2", "3", "4"):
        outbox.send(text, is_audio=True)

    socket.open.set()
    await asyncio.sleep(0.01)

    assert socket.sent == ["under way", "mark", "3", "4"]
    assert outbox.dropped == 2


async def test_dropping_audio_leaves_control_messages():
    socket = Socket()
    outbox = Outbox(socket.send)
    socket.open.clear()
    outbox.send("under way")
    outbox.send("audio", is_audio=True)
    outbox.send("mark")

    outbox.drop_audio()
    outbox.send("clear")
    socket.open.set()
    await asyncio.sleep(0.01)

    assert socket.sent == ["under way", "mark", "clear"]


async def test_a_socket_that_is_gone_is_not_an_error():
    socket = Socket()
    socket.is_gone = True
    outbox = Outbox(socket.send)

    outbox.send("a")
    outbox.send("b")
    await outbox.close()

    assert socket.sent == []


async def test_closing_twice_closes_once():
    socket = Socket()
    outbox = Outbox(socket.send)

    await outbox.close()
    await outbox.close()

    assert socket.sent == ["websocket.close"]
