"""Connected tools as agents get them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.connected.models import HttpTool, McpServer
from agents.connected.services.using import use_http_tool, use_mcp_tool
from agents.tools import Surface, Tool, ToolContext, ToolOutcome, run_in_tenant
from tenants.context import current_schema

SURFACES: tuple[Surface, ...] = ("call", "chat")
GRACE_S = 1.0  # beyond a tool's own limit, for its answer to arrive here
SEPARATOR = "__"


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
    return [_mcp_tool(server, told) for told in server.tools if told["name"] in server.allowed]


def _mcp_tool(server: McpServer, told: dict[str, Any]) -> Tool:
    async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
        content = await run_in_tenant(
            context, use_mcp_tool, server=server, name=told["name"], conversation=context.call_id, arguments=arguments
        )
        return ToolOutcome(content)

    return Tool(
        name=f"{server.name}{SEPARATOR}{told['name']}"[:64],
        description=told["description"] or told["name"],
        parameters=told["parameters"],
        run=run,
        time_limit_s=server.time_limit_s + GRACE_S,
        surfaces=SURFACES,
    )
