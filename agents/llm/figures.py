"""The tokens OpenAI has counted, for the ledger to be compared with (GET /v1/organization/usage/completions)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import requests
from django.conf import settings

from billing.services.reconciling import Figure, FiguresError, register

TIMEOUT_S = 20.0
PAGES = 50
DEFAULT_URL = "https://api.openai.com/v1"


def tokens(day: date) -> list[Figure] | None:
    """Return a day's tokens by model; None without an administrator's key, which only the provider's owner has."""
    env = settings.ENV
    if not env.openai_admin_key:
        return None
    begin = datetime.combine(day, time(), UTC)
    query: dict[str, Any] = {
        "start_time": int(begin.timestamp()),
        "end_time": int((begin + timedelta(days=1)).timestamp()),
        "bucket_width": "1d",
        "group_by": "model",
    }
    counts: Counter[str] = Counter()
    try:
        for _ in range(PAGES):
            page = _ask(f"{env.openai_base_url or DEFAULT_URL}/organization/usage/completions", query)
            for bucket in page["data"]:
                for row in bucket["results"]:
                    counts[f"{row['model']}:input"] += int(row["input_tokens"])
                    counts[f"{row['model']}:output"] += int(row["output_tokens"])
            if not page.get("has_more"):
                break
            query["page"] = page["next_page"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise FiguresError(type(error).__name__) from None
    return [Figure(item, "token", Decimal(count)) for item, count in sorted(counts.items())]


def _ask(url: str, query: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {settings.ENV.openai_admin_key}"}
    answer = requests.get(url, params=query, headers=headers, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return dict(answer.json())


register("openai", tokens)
