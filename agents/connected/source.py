"""Connected tools as agents get them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.connected.describing import by_offered
from agents.connected.models import HttpTool, McpServer
from agents.connected.services.using import use_http_tool, use_mcp_tool
from agents.tools import Surface, Tool, ToolContext, ToolOutcome, run_in_tenant
from tenants.context import current_schema

SURFACES: tuple[Surface, ...] = ("call", "chat")
GRACE_S = 1.0  # beyond a tool's own limit, for its answer to arrive here


def connected_tools(names: Iterable[str] | None) -> list[Tool]:
    """Return the entered tenant's own tools; there are none outside of tenants."""
    wanted = None if names is None else set(names)
    if current_schema() is None or wanted == set():
        return []
    found = [_http(tool) for tool in HttpTool.objects.filter(is_active=True)]
    found += [tool for server in McpServer.objects.filter(is_active=True) for tool in _mcp(server)]
    return [tool for tool in found if wanted is None or tool.name in wanted]


def _http(tool: HttpTool) -> Tool:
    async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome(
            await run_in_tenant(context, use_http_tool, tool=tool, conversation=context.call_id, arguments=arguments)
        )

    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        run=run,
        irreversible=tool.is_irreversible,
        time_limit_s=tool.time_limit_s + GRACE_S,
        surfaces=SURFACES,
    )


def _mcp(server: McpServer) -> list[Tool]:
    told = by_offered(server.tools, server.name)
    return [_mcp_tool(server, name, tool) for name, tool in told.items() if tool["name"] in server.allowed]


def _mcp_tool(server: McpServer, name: str, told: dict[str, Any]) -> Tool:
    renamed = told.get("renamed") or {}

    async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
        theirs = {renamed.get(key, key): value for key, value in arguments.items()}
        content = await run_in_tenant(context, use_mcp_tool, server=server, name=told["name"], arguments=theirs)
        return ToolOutcome(content)

    return Tool(
        name=name,
        title=told.get("title") or told["name"],
        description=told["description"] or told["name"],
        parameters=told["parameters"],
        run=run,
        time_limit_s=server.time_limit_s + GRACE_S,
        surfaces=SURFACES,
    )
