"""The ASGI application: media sockets on their short path, page sockets through Channels, the rest through Django."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "thanos.settings.prod")
os.environ.setdefault("DATABASE_POOL_SIZE", "20")
os.environ.setdefault("DATABASE_POOL_TIMEOUT_S", "2")
os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT_S", "60")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.routing import URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from agents.llm.registry import load_sdks  # noqa: E402
from base.words import query_words  # noqa: E402
from telephony.consumers import media_stream  # noqa: E402
from telephony.deadline import within_deadline  # noqa: E402
from telephony.engines.registry import warm_up  # noqa: E402
from telephony.routing import websocket_urlpatterns  # noqa: E402
from telephony.services.urls import STREAM_PATH  # noqa: E402
from telephony.workers import worker  # noqa: E402
from tenants.websocket import MemberSocket  # noqa: E402
from thanos.bodies import bounded  # noqa: E402
from thanos.garbage import set_aside  # noqa: E402
from thanos.limits import BODY_LIMITS  # noqa: E402
from thanos.pool import watch  # noqa: E402
from thanos.visitors import is_known  # noqa: E402
from thanos.waiting import counted  # noqa: E402

pages = within_deadline(bounded(django_application, BODY_LIMITS, is_known))
media_sockets = counted(media_stream, settings.ENV.max_concurrent_calls)
page_sockets = MemberSocket(URLRouter(websocket_urlpatterns))


async def application(scope: Any, receive: Any, send: Any) -> None:
    match scope["type"]:
        case "websocket":
            if scope["path"].rstrip("/") == STREAM_PATH:
                await media_sockets(scope, receive, send)
            else:
                await page_sockets(scope, receive, send)
        case "http":
            await pages(scope, receive, send)
        case "lifespan":
            await _live(receive, send)


logger = logging.getLogger("thanos")


async def _live(receive: Any, send: Any) -> None:
    loading: asyncio.Task[None] | None = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            worker.start()
            watch.start()
            _warm_up()
            await send({"type": "lifespan.startup.complete"})
            loading = asyncio.create_task(_load_in_background())
        elif message["type"] == "lifespan.shutdown":
            if loading is not None:
                loading.cancel()
            await worker.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _load_in_background() -> None:
    """Load what only some calls need. Without it the first such call is slow; the process serves all the same."""
    try:
        await asyncio.to_thread(load_sdks)
    except Exception:
        logger.exception("The language models' SDKs could not be loaded ahead.")
    set_aside(collect=False)


def _warm_up() -> None:
    """Build what the first call would otherwise wait for: imports, the URL table, the tokenizer's tables."""
    from django.urls import get_resolver

    query_words("hello")
    get_resolver(settings.PUBLIC_SCHEMA_URLCONF)._populate()
    warm_up()
