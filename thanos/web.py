"""One web process: uvicorn on a socket it was handed, with a stop that lets running calls finish.

SIGTERM: readiness turns false, new streams are refused, callers who ring are asked to hold until another worker takes
them; the process ends when its last call has, or after DRAIN_TIMEOUT_S. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from types import FrameType

import uvicorn

from thanos.env import environment
from thanos.garbage import collect_between_events, set_aside

MAX_MESSAGE_BYTES = 65_536
LINGER_S = 3.0


class DrainingServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        set_aside()
        await super().startup(sockets)
        self._tidying = asyncio.get_running_loop().create_task(collect_between_events())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        from telephony.workers import worker

        if worker.is_draining or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        worker.is_draining = True
        self._drain = asyncio.get_running_loop().create_task(self._finish_calls())

    async def _finish_calls(self) -> None:
        from telephony.workers import worker

        loop = asyncio.get_running_loop()
        deadline = loop.time() + environment().drain_timeout_s
        # A call whose stream has just ended is asked about, transferred or hung up within moments: answer that too.
        deadline_after = loop.time() + (LINGER_S if worker.sockets else 0.0)
        while loop.time() < deadline:
            if worker.sockets:
                deadline_after = loop.time() + LINGER_S
            elif loop.time() >= deadline_after:
                break
            await asyncio.sleep(0.1)
        self.should_exit = True


def run(listening: socket.socket | None, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    config = uvicorn.Config(
        "thanos.asgi:application",
        host=host,
        port=port,
        loop="uvloop",
        http="thanos.arrival:PunctualProtocol",
        ws="thanos.sockets:MediaProtocol",
        ws_per_message_deflate=False,  # mu-law in base64 does not compress; the buffers cost memory per call
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        lifespan="on",
        access_log=False,  # request lines carry callers' numbers
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=environment().trusted_proxies,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
    )
    server = DrainingServer(config)
    server.run(sockets=[listening] if listening else None)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "thanos.settings.prod")
    os.environ.setdefault("DATABASE_POOL_SIZE", "20")
    os.environ.setdefault("DATABASE_POOL_TIMEOUT_S", "2")
    os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT_S", "60")
    inherited = socket.socket(fileno=int(sys.argv[1])) if len(sys.argv) > 1 else None
    run(inherited, port=environment().port)
