"""HTTP clients live as long as their event loop: one for each provider, connections kept, closed with the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]] = WeakKeyDictionary()


async def keep_client(key: Hashable, make: Callable[[], Any]) -> Any:
    """Return the running loop's client under this key, made when there is none.

    `make` runs in a thread and is where a provider's SDK is imported: that takes a second, in which a loop that carries
    audio would carry none.
    """
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if key not in clients:
        made = await asyncio.to_thread(make)
        if clients.setdefault(key, made) is not made:  # somebody else was quicker
            await made.close()
    return clients[key]


async def close_clients() -> None:
    """Close the running loop's clients, before it ends."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()
