"""HTTP clients live as long as their event loop: one for each provider, connections kept, closed with the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]] = WeakKeyDictionary()


def keep_client(key: Hashable, make: Callable[[], Any]) -> Any:
    """Return the running loop's client under this key, made when there is none."""
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if key not in clients:
        clients[key] = make()
    return clients[key]


async def close_clients() -> None:
    """Close the running loop's clients, before it ends."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()
