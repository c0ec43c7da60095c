"""Using a connected tool: once, where once is all that may be. Must run inside the tenant."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.utils import timezone
from redis.exceptions import RedisError

from agents.connected.mcp import Agreed, McpClient, McpError
from agents.connected.models import HttpTool, McpServer, ToolRun
from agents.connected.requests import ArgumentError, build_request
from agents.tools import ToolError
from base.jsontext import JSONTextError, decode
from base.text import to_valid
from crm.hooks.addresses import read_networks
from crm.hooks.sending import Outcome, send
from tenants.context import current_schema
from thanos.redis import sync_client

CUT = " […]"
SESSION_S = 600
_BLANK = re.compile(r"\s+")


def use_http_tool(*, tool: HttpTool, conversation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the system answered, cut to the tool's length. Raises ToolError."""
    key = key_of(tool.name, arguments)
    if not tool.is_irreversible:
        return _request(tool, arguments, f"{conversation}:{key}")
    return _once(conversation, key, lambda: _request(tool, arguments, f"{conversation}:{key}"))


def use_mcp_tool(*, server: McpServer, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ToolError."""
    client = McpClient(url=server.url, headers=server.headers, time_limit_s=server.time_limit_s, agreed=_agreed(server))
    try:
        text, failed = client.call_tool(name, arguments)
    except McpError as error:
        _keep(server, None)  # whatever is wrong with it: the next one begins anew
        raise ToolError(f"The system behind this tool did not answer: {error}") from None
    _keep(server, client.agreed)
    if failed:
        raise ToolError(trim(text, 500) or "The tool says that it failed.")
    return {"ok": True, "result": trim(text, 4000)}


def send_request(tool: HttpTool, arguments: Mapping[str, Any], *, idempotency_key: str) -> Outcome:
    """Make the request and return what came of it, whatever that is. Raises ToolError for arguments that make none."""
    try:
        request = build_request(method=tool.method, url=tool.url, headers=tool.headers, arguments=arguments)
    except ArgumentError as error:
        raise ToolError(f"The arguments do not fit: {error}") from None
    headers = request.headers if tool.method == "GET" else {**request.headers, "Idempotency-Key": idempotency_key}
    outcome = send(
        url=request.url,
        body=request.body,
        headers=headers,
        method=tool.method,
        allowed=read_networks(settings.ENV.webhook_allowed_networks),
        timeout_s=float(tool.time_limit_s),
        excerpt_length=tool.max_characters * 4,
        max_bytes=max(64 * 1024, tool.max_characters * 4),
    )
    HttpTool.objects.filter(pk=tool.pk).update(last_used_at=timezone.now(), last_result=describe(outcome)[:60])
    return outcome


def describe(outcome: Outcome) -> str:
    status = f"status {outcome.status_code}" if outcome.status_code else outcome.problem.label
    return f"{status}, {outcome.duration_ms} ms"


def trim(text: str, limit: int) -> str:
    """Return an answer as a model gets it: without needless blanks, and not longer than wanted."""
    try:
        text = json.dumps(decode(text), ensure_ascii=False, separators=(",", ":"))
    except JSONTextError:
        text = _BLANK.sub(" ", to_valid(text)).strip()
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def key_of(name: str, arguments: Mapping[str, Any]) -> str:
    said = json.dumps([name, arguments], sort_keys=True, ensure_ascii=False).casefold()
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def _request(tool: HttpTool, arguments: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
    outcome = send_request(tool, arguments, idempotency_key=idempotency_key)
    if outcome.status_code is None:
        raise ToolError(f"The system behind this tool could not be reached: {outcome.problem.label}.")
    answer = trim(outcome.excerpt, tool.max_characters)
    if not outcome.is_success:
        raise ToolError(f"The system refused (status {outcome.status_code}): {answer[:300]}")
    return {"ok": True, "result": answer}


def _once(conversation: str, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it the first time; afterwards tell what came of it. One whose end nobody knows is not done again."""
    run, is_new = ToolRun.objects.get_or_create(conversation=conversation, key=key)
    if not is_new:
        if not run.is_over:
            raise ToolError("This was asked for already, and what came of it is not known. A person has to check it.")
        return {**json.loads(run.result), "note": "This was done before in this conversation; it was not done again."}
    try:
        result = work()
    except ToolError as error:
        if "refused" in str(error):  # the system said no, so nothing was done: it may be tried again
            run.delete()
        raise
    ToolRun.objects.filter(pk=run.pk).update(is_over=True, result=json.dumps(result, ensure_ascii=False))
    return result


def _key(server: McpServer) -> str:
    """A session belongs to an address and its headers: neither goes to another."""
    where = hashlib.sha256(json.dumps([server.url, server.headers], sort_keys=True).encode()).hexdigest()[:16]
    return f"mcp:{current_schema()}:{server.pk}:{where}"


def _agreed(server: McpServer) -> Agreed | None:
    try:
        found = sync_client().get(_key(server))
        session, version = decode(found) if isinstance(found, bytes) else ("", "")
    except (RedisError, ValueError, TypeError):
        return None
    return Agreed(str(session), str(version)) if version else None


def _keep(server: McpServer, agreed: Agreed | None) -> None:
    try:
        if agreed is None:
            sync_client().delete(_key(server))
        else:
            sync_client().set(_key(server), json.dumps([agreed.session, agreed.version]), ex=SESSION_S)
    except RedisError:
        return
