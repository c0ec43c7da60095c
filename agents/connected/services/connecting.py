"""What people do with connected tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from agents.connected.describing import MAX_TOOLS, SEPARATOR, describe
from agents.connected.mcp import McpClient, McpError
from agents.connected.models import HttpTool, McpServer
from agents.connected.requests import names_in
from agents.connected.services.using import send_request
from agents.tools import registered_names
from crm.hooks.addresses import AddressError, parse_url, read_networks
from crm.hooks.sending import Outcome, check_url

Row = TypeVar("Row", HttpTool, McpServer)

LIST_TIME_LIMIT_S = 15.0
MAX_CONNECTED = 50  # of each kind, in one organisation


class ConnectError(ValueError):
    """It cannot be kept like this. `field` is the form's field that the text belongs to."""

    def __init__(self, why: str, *, field: str = "") -> None:
        super().__init__(why)
        self.field = field


def save_http_tool(*, tool: HttpTool | None, values: dict[str, Any]) -> HttpTool:
    """Raises ConnectError."""
    tool = tool or HttpTool()
    if values["name"] != tool.name:
        _check_name(values["name"])
    _check_address(values["url"])
    known = set(values["parameters"].get("properties", {}))
    if missing := [name for name in names_in(values["url"]) if name not in known]:
        raise ConnectError(f"The address names {missing[0]}, which is not among the parameters.", field="url")
    for name, value in values.items():
        setattr(tool, name, value)
    return _save(tool)


def save_mcp_server(*, server: McpServer | None, values: dict[str, Any]) -> McpServer:
    """Keep a server and ask it for its tools. Raises ConnectError; a server that does not answer is kept all the same."""
    server = server or McpServer()
    if values["name"] != server.name:
        _check_name(values["name"])
    _check_address(values["url"])
    for name, value in values.items():
        setattr(server, name, value)
    _save(server)
    list_tools(server=server)
    return server


def list_tools(*, server: McpServer) -> None:
    """Ask a server for its tools again. New ones wait until somebody allows them."""
    client = McpClient(url=server.url, headers=server.headers, time_limit_s=LIST_TIME_LIMIT_S)
    try:
        listed = client.list_tools(most=MAX_TOOLS)
    except McpError as error:
        server.problem = str(error)[:200]
        McpServer.objects.filter(pk=server.pk).update(problem=server.problem)
        return
    described = describe(server.name, listed.tools, has_more=listed.has_more)
    names = {tool["name"] for tool in described.tools}
    server.tools, server.left_out = described.tools, described.left_out
    server.problem, server.listed_at = "", timezone.now()
    server.allowed = [name for name in server.allowed if name in names]
    server.save(update_fields=["tools", "left_out", "problem", "listed_at", "allowed"])


def allow_tools(*, server: McpServer, names: list[str]) -> None:
    known = [tool["name"] for tool in server.tools]
    server.allowed = [name for name in known if name in names]
    server.save(update_fields=["allowed"])


def try_http_tool(*, tool: HttpTool, arguments: Mapping[str, Any]) -> Outcome:
    """Make the request as an agent would, for a person to look at."""
    return send_request(tool, arguments, idempotency_key=f"try:{timezone.now().timestamp()}")


def _check_name(name: str) -> None:
    if SEPARATOR in name:
        raise ConnectError("Two underscores in a row stand between a server and its tool. Use one.", field="name")
    if name in registered_names():
        raise ConnectError(f"There is a tool named {name} already. Choose another name.", field="name")


def _check_address(url: str) -> None:
    """What stands in braces is filled in later, and can only be a part of a path or query."""
    plain = url.replace("{", "x").replace("}", "x")
    try:
        if "{" in url.split("//", 1)[-1].split("/", 1)[0]:
            raise ConnectError("The host cannot be a parameter.", field="url")
        parse_url(plain)
        check_url(plain, allowed=read_networks(settings.ENV.webhook_allowed_networks))
    except AddressError as error:
        raise ConnectError(str(error), field="url") from None


def _save(row: Row) -> Row:
    kind: Any = type(row)
    if row.pk is None and kind.objects.count() >= MAX_CONNECTED:
        raise ConnectError(f"There are {MAX_CONNECTED} already. Delete one that nobody needs any more.")
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise ConnectError("You have one of this name already.", field="name") from None
    return row
