from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.connected.forms import HttpToolForm, McpServerForm, TryForm, sample
from agents.connected.models import HttpTool, McpServer
from agents.connected.services import connecting
from agents.connected.services.connecting import ConnectError
from agents.connected.services.using import describe, trim
from agents.tools import ToolError, all_tools, check_arguments, registered_names
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction


@require_GET
@manager_required
def tool_list(request: MemberRequest) -> HttpResponse:
    ours = registered_names()
    context = {
        "built_in": [tool for tool in all_tools() if tool.name in ours],
        "http_tools": HttpTool.objects.all(),
        "servers": McpServer.objects.all(),
    }
    return render(request, "agents/connected/tool_list.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def http_new(request: MemberRequest) -> HttpResponse:
    return _form(request, HttpToolForm, connecting.save_http_tool, "tool", HttpTool())


@require_http_methods(["GET", "POST"])
@manager_required
def http_edit(request: MemberRequest, pk: int) -> HttpResponse:
    return _form(request, HttpToolForm, connecting.save_http_tool, "tool", get_object_or_404(HttpTool, pk=pk))


@require_http_methods(["GET", "POST"])
@manager_required
def http_detail(request: MemberRequest, pk: int) -> HttpResponse:
    """A tool, and a trial of it."""
    tool = get_object_or_404(HttpTool, pk=pk)
    form = TryForm(request.POST or None, initial={"arguments": sample(tool.parameters)})
    tried = None
    if request.method == "POST" and form.is_valid():
        tried = _try(request, tool, form)
    return render(request, "agents/connected/http_detail.html", {"tool": tool, "form": form, "tried": tried})


@require_POST
@manager_required
def http_delete(request: MemberRequest, pk: int) -> HttpResponse:
    tool = get_object_or_404(HttpTool, pk=pk)
    _record(request, tool, "deleted")
    tool.delete()
    messages.success(request, "Deleted. No agent can use it any more.")
    return redirect("connected:tool-list")


@require_http_methods(["GET", "POST"])
@manager_required
def mcp_new(request: MemberRequest) -> HttpResponse:
    return _form(request, McpServerForm, connecting.save_mcp_server, "server", McpServer())


@require_http_methods(["GET", "POST"])
@manager_required
def mcp_edit(request: MemberRequest, pk: int) -> HttpResponse:
    return _form(request, McpServerForm, connecting.save_mcp_server, "server", get_object_or_404(McpServer, pk=pk))


@require_http_methods(["GET", "POST"])
@manager_required
def mcp_detail(request: MemberRequest, pk: int) -> HttpResponse:
    """A server's tools, to be allowed one by one."""
    server = get_object_or_404(McpServer, pk=pk)
    if request.method == "POST":
        connecting.allow_tools(server=server, names=request.POST.getlist("tool"))
        _record(request, server, f"allowed {', '.join(server.allowed) or 'nothing'}")
        messages.success(request, "Saved.")
        return redirect(server)
    return render(request, "agents/connected/mcp_detail.html", {"server": server})


@require_POST
@manager_required
def mcp_refresh(request: MemberRequest, pk: int) -> HttpResponse:
    server = get_object_or_404(McpServer, pk=pk)
    connecting.list_tools(server=server)
    return redirect(server)


@require_POST
@manager_required
def mcp_delete(request: MemberRequest, pk: int) -> HttpResponse:
    server = get_object_or_404(McpServer, pk=pk)
    _record(request, server, "deleted")
    server.delete()
    messages.success(request, "Deleted. No agent can use its tools any more.")
    return redirect("connected:tool-list")


def _form(request: MemberRequest, kind: Any, save: Any, what: str, row: Any) -> HttpResponse:
    form = kind(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save(**{what: row if row.pk else None}, values=form.cleaned_data)
        except ConnectError as error:
            form.add_error(error.field or None, str(error))
        else:
            _record(request, saved, "saved")
            messages.success(request, "Saved.")
            return redirect(saved)
    context = {"form": form, "row": row if row.pk else None, "what": what}
    return render(request, "agents/connected/form.html", context, status=422 if form.errors else 200)


def _try(request: MemberRequest, tool: HttpTool, form: TryForm) -> dict[str, Any] | None:
    arguments = form.cleaned_data["arguments"]
    try:
        check_arguments(tool.parameters, arguments)
        outcome = connecting.try_http_tool(tool=tool, arguments=arguments)
    except ToolError as error:
        form.add_error("arguments", str(error))
        return None
    _record(request, tool, "tried")
    return {
        "outcome": outcome,
        "about": describe(outcome),
        "answer": trim(outcome.excerpt, tool.max_characters),
    }


def _record(request: MemberRequest, row: HttpTool | McpServer, what: str) -> None:
    record_request(request, AuditAction.TOOL_CHANGED, target=f"{row.name}: {what}"[:200])
