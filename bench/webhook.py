"""How long a ringing call waits for its answer, beside the emptiest view the same server has."""

from __future__ import annotations

import time
import uuid

import aiohttp
import uvloop

from bench.product import Carrier, Product, incoming_form, sign
from bench.report import Result, percentile

PAIRS = 200
WARM_UP = 20
PATH = "/api/webhooks/incoming-call"
EMPTY = "/health"  # says "ok" behind the same middleware, without a query


def run(product: Product) -> list[Result]:
    empty_ms, webhook_ms = uvloop.run(_take_turns(product))
    rows = []
    for name, values in (("empty view", empty_ms), ("incoming call to TwiML", webhook_ms)):
        rows += [Result("webhook", f"{name}, p{share * 100:.0f}", percentile(values, share), "ms") for share in (0.5, 0.99)]
    ratio = percentile(webhook_ms, 0.5) / percentile(empty_ms, 0.5)
    rows.append(Result("webhook", "incoming call, as a multiple of the empty view", ratio, "×"))
    queries = _queries(product)
    switches = [query for query in queries if query == "SET search_path"]
    others = [query for query in queries if query not in switches]
    rows.append(Result("webhook", "SQL queries an incoming call", len(others), "", 3, note=" · ".join(others)))
    rows.append(Result("webhook", "changes of search_path beside them", len(switches), ""))
    return rows


async def _take_turns(product: Product) -> tuple[list[float], list[float]]:
    empty_ms: list[float] = []
    webhook_ms: list[float] = []
    async with aiohttp.ClientSession() as session:
        carrier = Carrier(product, session)
        for number in range(WARM_UP + PAIRS):
            begun = time.perf_counter()
            async with session.get(product.url + EMPTY) as response:
                await response.read()
            between = time.perf_counter()
            answer = await carrier.post(PATH, carrier.form("CA" + uuid.uuid4().hex))
            if "<Stream" not in answer:
                raise RuntimeError(f"the call was not admitted: {answer}")
            if number >= WARM_UP:
                empty_ms.append((between - begun) * 1000)
                webhook_ms.append((time.perf_counter() - between) * 1000)
    return empty_ms, webhook_ms


def _queries(product: Product) -> list[str]:
    """Return what one request asks of the database, the first words of each query, counted in this process."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client()
    captured: list[str] = []
    for _ in range(2):  # the first request pays for what later ones find in caches
        form = incoming_form("CA" + uuid.uuid4().hex)
        with CaptureQueriesContext(connection) as context:
            response = client.post(PATH, form, headers=sign(product.url + PATH, form))
        if response.status_code != 200 or b"<Stream" not in response.content:
            raise RuntimeError(f"the call was not admitted: {response.status_code} {response.content.decode()}")
        captured = [query["sql"] for query in context.captured_queries]
    return [_gist(sql) for sql in captured]


def _gist(sql: str) -> str:
    words = sql.replace('"', "").split()
    if words[0] in ("SELECT", "DELETE") and "FROM" in words:
        return f"{words[0]} {words[words.index('FROM') + 1]}"
    return " ".join(words[:3] if words[0] == "INSERT" else words[:2])
