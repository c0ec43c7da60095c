"""Connected tools: what is kept, what is asked, what an agent is told, and what no organisation can reach."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync

from agents.connected.mcp import McpError, _find
from agents.connected.models import HttpTool, McpServer, ToolRun
from agents.connected.requests import build_request
from agents.connected.services import connecting
from agents.connected.services.connecting import ConnectError
from agents.connected.services.using import trim
from agents.tools import ToolContext, ToolError, all_tools, run_tool, tools_named
from crm.hooks.tests.receiver import Receiver
from tenants.context import entered

PARAMETERS = {
    "type": "object",
    "properties": {"article": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["article"],
    "additionalProperties": False,
}


@pytest.fixture
def loopback(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "webhook_allowed_networks", ["127.0.0.0/8"])


@pytest.fixture
def receiver(loopback):
    running = Receiver()
    running.answer = b'{ "stock":   3 }'
    yield running
    running.stop()


def values(receiver=None, **changes):
    base = {
        "name": "check_stock",
        "description": "How many there are.",
        "method": "GET",
        "url": f"http://127.0.0.1:{receiver.port}/stock/{{article}}" if receiver else "https://example.com/x",
        "headers": {"Authorization": "Bearer geheim"},
        "parameters": PARAMETERS,
        "is_irreversible": False,
        "time_limit_s": 5,
        "max_characters": 200,
        "is_active": True,
    }
    return {**base, **changes}


@pytest.fixture
def tool(in_alice, receiver):
    return connecting.save_http_tool(tool=None, values=values(receiver))


def use(tenant, name, conversation="c1", **arguments):
    context = ToolContext(conversation, tenant.schema_name, "", "")
    with entered(tenant):
        tools = tools_named([name])
    if name not in tools:
        raise LookupError(name)
    return async_to_sync(run_tool)(tools[name], context, json.dumps(arguments)).content


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "arguments", "address", "body"),
    [
        ("GET", "https://a.test/s/{id}", {"id": "x y", "n": 2}, "https://a.test/s/x%20y?n=2", b""),
        ("GET", "https://a.test/s?k=1", {"q": "ä&b"}, "https://a.test/s?k=1&q=%C3%A4%26b", b""),
        ("GET", "https://a.test/{id}", {"id": "../../admin?x=1#y"}, "https://a.test/..%2F..%2Fadmin%3Fx%3D1%23y", b""),
        ("DELETE", "https://a.test/{id}", {"id": 7}, "https://a.test/7", b""),
        ("POST", "https://a.test/{id}", {"id": "1", "on": True}, "https://a.test/1", b'{"on": true}'),
        ("GET", "https://a.test/{id}/", {}, "https://a.test//", b""),
    ],
)
def test_arguments_become_a_request(method, url, arguments, address, body):
    request = build_request(method=method, url=url, headers={"X": "1"}, arguments=arguments)
    assert (request.url, request.body) == (address, body)
    assert request.headers["X"] == "1"
    assert ("Content-Type" in request.headers) is (method == "POST")


# --- HTTP tools ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_connection")
def test_an_agent_uses_it_and_is_told_the_answer(tool, in_alice, receiver):
    assert use(in_alice, "check_stock", article="A 1", count=2) == {"ok": True, "result": '{"stock":3}'}
    (got,) = receiver.received
    assert (got.method, got.path) == ("GET", "/stock/A%201?count=2")
    assert got.headers["Authorization"] == "Bearer geheim"
    tool.refresh_from_db()
    assert tool.last_result.startswith("status 200")


@pytest.mark.usefixtures("one_connection")
def test_arguments_are_checked_before_anything_is_sent(tool, in_alice, receiver):
    for arguments in ({}, {"article": 7}, {"article": "A", "other": 1}):
        with pytest.raises(ToolError, match="do not fit"):
            use(in_alice, "check_stock", **arguments)
    assert receiver.received == []


@pytest.mark.usefixtures("one_connection")
def test_a_system_that_refuses_or_is_away_is_told_of(tool, in_alice, receiver):
    receiver.status, receiver.answer = 404, b"no such article"
    with pytest.raises(ToolError, match=r"refused \(status 404\): no such article"):
        use(in_alice, "check_stock", article="A")
    receiver.stop()
    with pytest.raises(ToolError, match="could not be reached"):
        use(in_alice, "check_stock", article="A")
    receiver.__init__()


@pytest.mark.usefixtures("one_connection")
def test_what_cannot_be_undone_is_done_once_a_conversation(in_alice, receiver):
    connecting.save_http_tool(tool=None, values=values(receiver, name="order", method="POST", is_irreversible=True))
    with entered(in_alice):
        assert tools_named(["order"])["order"].irreversible
    first = use(in_alice, "order", article="A")
    again = use(in_alice, "order", article="a")
    assert first["ok"] is again["ok"] is True
    assert "not done again" in again["note"]
    use(in_alice, "order", article="B")
    use(in_alice, "order", conversation="c2", article="A")
    assert len(receiver.received) == 3
    keys = [got.headers["Idempotency-Key"] for got in receiver.received]
    assert len(set(keys)) == 3
    assert keys[0].startswith("c1:")


@pytest.mark.usefixtures("one_connection")
def test_what_may_have_been_done_is_not_done_again(in_alice, receiver):
    connecting.save_http_tool(tool=None, values=values(receiver, name="order", method="POST", is_irreversible=True))
    port = receiver.port
    HttpTool.objects.update(url="http://127.0.0.1:9/closed/{article}")
    with pytest.raises(ToolError, match="could not be reached"):
        use(in_alice, "order", article="A")
    HttpTool.objects.update(url=f"http://127.0.0.1:{port}/stock/{{article}}")
    with pytest.raises(ToolError, match="not known"):
        use(in_alice, "order", article="A")
    receiver.status = 409
    with pytest.raises(ToolError, match="refused"):
        use(in_alice, "order", article="B")
    receiver.status = 200
    assert use(in_alice, "order", article="B")["ok"]
    assert ToolRun.objects.filter(is_over=True).count() == 1


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"url": "http://127.0.0.1:8000/x"}, "url", "https"),
        ({"url": "https://169.254.169.254/latest"}, "url", "public internet"),
        ({"url": "https://10.0.0.1/"}, "url", "public internet"),
        ({"url": "https://{host}.example.com/"}, "url", "host cannot be"),
        ({"url": "https://user:pw@example.com/"}, "url", "password"),
        ({"name": "end_call"}, "name", "already"),
        ({"url": "https://93.184.215.14/{nothing}"}, "url", "not among the parameters"),
    ],
)
def test_what_is_not_kept(in_alice, changes, field, why):
    with pytest.raises(ConnectError, match=why) as refused:
        connecting.save_http_tool(tool=None, values=values(**changes))
    assert refused.value.field == field
    assert not HttpTool.objects.exists()


def test_two_of_one_name(tool, receiver):
    with pytest.raises(ConnectError, match="of this name"):
        connecting.save_http_tool(tool=None, values=values(receiver))


@pytest.mark.usefixtures("one_connection")
def test_a_tool_is_its_organisations_own(tool, in_alice, bob, receiver):
    assert "check_stock" in {one.name for one in all_tools()}
    with entered(bob):
        assert "check_stock" not in {one.name for one in all_tools()}
        assert tools_named(["check_stock", "end_call"]).keys() == {"end_call"}
    with pytest.raises(LookupError):
        use(bob, "check_stock", article="A")


def test_secrets_are_sealed(tool):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT url, headers FROM agents_connected_httptool")
        assert "geheim" not in repr(cursor.fetchall())


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [('{ "a": 1 }', 100, '{"a":1}'), ("a\n\n  b", 100, "a b"), ("x" * 50, 20, "x" * 16 + " […]"), ("", 10, "")],
)
def test_answers_are_trimmed(text, limit, short):
    assert trim(text, limit) == short


# --- MCP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mcp(providers, loopback):
    return providers.sandbox.mcp


@pytest.fixture
def server(in_alice, mcp, providers):
    given = {"name": "shop", "url": f"{providers.url}/mcp", "headers": {"Authorization": f"Bearer {mcp.token}"}}
    made = connecting.save_mcp_server(server=None, values={**given, "time_limit_s": 5, "is_active": True})
    connecting.allow_tools(server=made, names=["stock", "unheard_of"])
    return made


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("style", ["json", "events"])
def test_a_servers_tools_are_listed_allowed_and_used(server, in_alice, mcp, style):
    mcp.style = style
    connecting.list_tools(server=server)
    assert [tool["name"] for tool in server.tools] == ["stock", "close_shop"]  # the faulty one is left out
    assert server.allowed == ["stock"]
    assert {one.name for one in all_tools("chat")} & {"shop__stock", "shop__close_shop"} == {"shop__stock"}
    assert use(in_alice, "shop__stock", article="tea") == {"ok": True, "result": "Three of tea."}
    with pytest.raises(ToolError, match="do not fit"):
        use(in_alice, "shop__stock", article=7)
    with pytest.raises(LookupError):
        use(in_alice, "shop__close_shop")


@pytest.mark.usefixtures("one_connection")
def test_a_session_is_kept_and_begun_anew_when_the_server_has_forgotten_it(server, in_alice, mcp):
    use(in_alice, "shop__stock", article="tea")
    mcp.asked.clear()
    use(in_alice, "shop__stock", article="tea")
    assert [method for method, _ in mcp.asked] == ["tools/call"]
    mcp.sessions.clear()
    mcp.asked.clear()
    assert use(in_alice, "shop__stock", article="tea")["ok"]
    assert [method for method, _ in mcp.asked] == ["tools/call", "initialize", "notifications/initialized", "tools/call"]


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize(
    ("fault", "why"), [("garbage", "no answer that can be read"), ("error", "Ordered"), ("tool-error", "Three of tea")]
)
def test_a_server_that_fails(server, in_alice, mcp, fault, why):
    mcp.faults.append(fault)
    with pytest.raises(ToolError, match=why):
        use(in_alice, "shop__stock", article="tea")


def test_a_server_that_does_not_let_us_in_is_kept_with_its_problem(in_alice, mcp, providers):
    given = {"name": "shop", "url": f"{providers.url}/mcp", "headers": {}, "time_limit_s": 5, "is_active": True}
    made = connecting.save_mcp_server(server=None, values=given)
    assert "401" in made.problem
    assert McpServer.objects.get().tools == []


@pytest.mark.parametrize("text", ["", "data: {", "[]", '{"id": 2}', "event: x\n\n"])
def test_answers_that_are_none(text):
    with pytest.raises(McpError):
        _find(text, 1)


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(visit, owner):
    return visit(owner)


FORM = {
    "name": "check_stock",
    "description": "How many.",
    "method": "GET",
    "headers": "Authorization: Bearer geheim",
    "parameters": json.dumps(PARAMETERS),
    "time_limit_s": "5",
    "max_characters": "500",
    "is_active": "on",
}


def test_a_tool_is_made_tried_changed_and_deleted(client, alice, receiver):
    assert "Look up stock" in client.get("/agents/tools/").content.decode()
    url = f"http://127.0.0.1:{receiver.port}/stock/{{article}}"
    made = client.post("/agents/tools/http/new/", {**FORM, "url": url})
    assert made.status_code == 302
    page = client.get(made.url).content.decode()
    assert "geheim" not in page
    tried = client.post(made.url, {"arguments": '{"article": "A"}'}).content.decode()
    assert "{&quot;stock&quot;:3}" in tried
    assert "do not fit" in client.post(made.url, {"arguments": "{}"}).content.decode()
    form = client.get(f"{made.url}edit/").content.decode()
    assert "geheim" not in form
    client.post(f"{made.url}edit/", {**FORM, "url": url, "headers": "Authorization: ••••••\nX-New: 1"})
    with entered(alice):
        assert HttpTool.objects.get().headers == {"Authorization": "Bearer geheim", "X-New": "1"}
    assert "check_stock" in client.get("/agents/new/").content.decode()
    client.post(f"{made.url}delete/")
    with entered(alice):
        assert not HttpTool.objects.exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"url": "https://10.0.0.1/"}, "public internet"),
        ({"parameters": "{"}, "not JSON"),
        ({"parameters": '{"type": "string"}'}, "JSON Schema of an object"),
        ({"parameters": '{"type": "object", "properties": 3}'}, "not JSON Schema"),
        ({"headers": "nonsense"}, "colon"),
        ({"name": "Big Name"}, "Small letters"),
    ],
)
def test_a_faulty_form_says_so(client, changes, why):
    answer = client.post("/agents/tools/http/new/", {**FORM, "url": "https://93.184.215.14/", **changes})
    assert answer.status_code == 422
    assert why in answer.content.decode()


def test_a_server_is_added_and_its_tools_allowed(client, alice, mcp, providers):
    form = {"name": "shop", "url": f"{providers.url}/mcp", "time_limit_s": "5", "is_active": "on"}
    made = client.post("/agents/tools/mcp/new/", {**form, "headers": f"Authorization: Bearer {mcp.token}"})
    page = client.get(made.url).content.decode()
    assert "shop__stock" in page
    client.post(made.url, {"tool": ["stock"]})
    assert "1 of 2 tools allowed" in client.get("/agents/tools/").content.decode()
    client.post(f"{made.url}refresh/")
    client.post(f"{made.url}delete/")
    with entered(alice):
        assert not McpServer.objects.exists()


def test_another_organisations_tools_are_not_there(visit, stranger, tool, server):
    client = visit(stranger, host="bob.test")
    for path in (f"http/{tool.pk}/", f"http/{tool.pk}/edit/", f"mcp/{server.pk}/", f"mcp/{server.pk}/edit/"):
        assert client.get(f"/agents/tools/{path}").status_code == 404
    page = client.get("/agents/tools/").content.decode()
    assert "check_stock" not in page
    assert "shop" not in page


def test_members_do_not_come_here(visit, member):
    assert visit(member).get("/agents/tools/").status_code == 403
