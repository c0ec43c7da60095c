"""Connected tools: what is kept, what is asked, what an agent is told, and what no organisation can reach."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest
from asgiref.sync import async_to_sync
from hypothesis import given
from hypothesis import settings as within
from hypothesis import strategies as st

from agents.connected.describing import describe, parameters_of
from agents.connected.mcp import Agreed, McpClient, McpError, _find
from agents.connected.models import HttpTool, McpServer, ToolRun
from agents.connected.requests import ArgumentError, build_request
from agents.connected.services import connecting
from agents.connected.services.connecting import ConnectError
from agents.connected.services.using import trim
from agents.tools import ToolContext, ToolError, all_tools, run_tool, tools_named
from base.text import to_valid
from crm.hooks.enums import Problem
from crm.hooks.sending import Outcome
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
        ("GET", "https://a.test/{id}", {"id": "a/b?x=1#y"}, "https://a.test/a%2Fb%3Fx%3D1%23y", b""),
        ("GET", "https://a.test/{id}?d={d}", {"id": "..a", "d": "../.."}, "https://a.test/..a?d=..%2F..", b""),
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


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("https://a.test/customers/{id}/orders", {"id": ".."}),
        ("https://a.test/customers/{id}/orders", {"id": "."}),
        ("https://a.test/{id}", {"id": "../../admin"}),
        ("https://a.test/{id}", {"id": "a/../b"}),
        ("https://a.test/{id}", {"id": "..\\x"}),
        ("https://a.test/{id}", {"id": "%2e%2e"}),
        ("https://a.test/{id}", {"id": "%252E%252e%252fx"}),
        ("https://a.test/{id}", {"id": "%25252525252e"}),
        ("https://a.test/{a}{b}/x", {"a": ".", "b": "."}),
        ("https://a.test/{a}./x", {"a": "."}),
        ("https://a.test/.{a}?q={b}", {"b": "x"}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_argument_leads_to_another_path(method, url, arguments):
    with pytest.raises(ArgumentError):
        build_request(method=method, url=url, headers={}, arguments=arguments)


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["..", "/", "%2e", "%2f", ".", "a", "%25", "\\"]), max_size=8).map("".join)
)
def test_whatever_is_put_in_stays_one_part_of_the_path(value):
    try:
        url = build_request(method="GET", url="https://a.test/c/{id}/o", headers={}, arguments={"id": to_valid(value)}).url
    except ArgumentError:
        return
    host, *parts = url.removeprefix("https://").split("/")
    assert (host, parts[0], parts[2:]) == ("a.test", "c", ["o"])
    assert unquote(unquote(parts[1])) not in (".", "..")


def test_headers_of_the_connection_are_not_sent():
    kept = {"Host": "b.test", "content-length": "3", "Transfer-Encoding": "chunked", "X-Key": "1", "accept": "text/csv"}
    request = build_request(method="GET", url="https://a.test/", headers=kept, arguments={})
    assert request.headers == {"X-Key": "1", "accept": "text/csv"}


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
@pytest.mark.parametrize("style", ["json", "events", "open"])
def test_a_servers_tools_are_listed_allowed_and_used(server, in_alice, mcp, style):
    mcp.style = style
    connecting.list_tools(server=server)
    assert [tool["name"] for tool in server.tools] == ["stock", "close_shop"]
    assert server.left_out == [{"name": "broken-schema", "why": "Its parameters are no object."}]
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


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("status", [400, 404, "Session not found", "Bad Request: Server not initialized"])
def test_a_session_is_begun_anew_however_the_server_says_that_it_is_gone(server, in_alice, mcp, status):
    use(in_alice, "shop__stock", article="tea")
    mcp.unknown_session = status
    mcp.sessions.clear()
    mcp.asked.clear()
    assert use(in_alice, "shop__stock", article="tea")["ok"]
    assert [method for method, _ in mcp.asked] == ["tools/call", "initialize", "notifications/initialized", "tools/call"]
    mcp.asked.clear()
    use(in_alice, "shop__stock", article="tea")
    assert [method for method, _ in mcp.asked] == ["tools/call"]


@pytest.mark.usefixtures("one_connection")
def test_a_session_that_failed_is_forgotten_and_anew_is_tried_once(server, in_alice, mcp):
    use(in_alice, "shop__stock", article="tea")
    mcp.faults.extend(["raw:", "error"])
    for why in ("no answer", "Ordered"):
        mcp.asked.clear()
        with pytest.raises(ToolError, match=why):
            use(in_alice, "shop__stock", article="tea")
    assert [method for method, _ in mcp.asked] == ["initialize", "notifications/initialized", "tools/call"]
    mcp.version = "1999-01-01"  # refuses every request whose header it does not like, with 400
    use(in_alice, "shop__stock", article="tea")
    mcp.version = "2024-11-05"
    assert use(in_alice, "shop__stock", article="tea")["ok"]


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-11-25"])
def test_the_version_the_server_chose_is_kept_and_sent(server, in_alice, mcp, version):
    mcp.version, mcp.versions = version, []
    mcp.sessions.clear()
    use(in_alice, "shop__stock", article="tea")
    use(in_alice, "shop__stock", article="tea")
    assert [one for one in mcp.versions if one] == [version] * 3
    assert mcp.versions[0] == ""


@pytest.mark.usefixtures("one_connection")
def test_a_server_without_sessions_is_asked_directly_the_second_time(server, in_alice, mcp):
    mcp.has_sessions = False
    McpServer.objects.update(headers={"Authorization": f"Bearer {mcp.token}", "X-New": "1"})  # another conversation
    use(in_alice, "shop__stock", article="tea")
    mcp.asked.clear()
    use(in_alice, "shop__stock", article="tea")
    assert [method for method, _ in mcp.asked] == ["tools/call"]


NAMES = [
    "orders.get",
    "user-profile/update",
    "2fa_check",
    "préférences",
    "查询天气",
    "a" * 56,
    "a" * 58 + "b",
    "a" * 58 + "c",
    "A b",
]


@pytest.mark.usefixtures("one_connection")
def test_every_name_is_offered_under_a_safe_and_distinct_one(server, in_alice, mcp):
    mcp.tools = [{"name": name, "inputSchema": {}} for name in [*NAMES, "", 7, "x" * 300, "2fa_check"]] + ["none", None]
    connecting.list_tools(server=server)
    assert [tool["name"] for tool in server.tools] == NAMES
    assert len(server.left_out) == 6
    assert all(one["why"] for one in server.left_out)
    connecting.allow_tools(server=server, names=NAMES)
    offered = [tool.name for tool in all_tools() if tool.name.startswith("shop__")]
    assert len(set(offered)) == len(NAMES)
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in offered)
    assert "shop__2fa_check" in offered
    mcp.asked.clear()
    for name in offered:
        assert use(in_alice, name)["ok"]
    assert sorted(params["name"] for method, params in mcp.asked if method == "tools/call") == sorted(NAMES)


@pytest.mark.usefixtures("one_connection")
def test_names_of_parameters_are_mapped_both_ways(server, in_alice, mcp):
    given = {"properties": {"$filter": {"type": "string"}, "città": {"type": "string"}, "top": {}}, "required": ["$filter"]}
    mcp.tools = [{"name": "find", "inputSchema": given}]
    connecting.list_tools(server=server)
    connecting.allow_tools(server=server, names=["find"])
    (kept,) = server.tools
    ours = {theirs: name for name, theirs in kept["renamed"].items()}
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in kept["parameters"]["properties"])
    use(in_alice, "shop__find", **{ours["$filter"]: "x", ours["città"]: "y", "top": 1})
    assert mcp.asked[-1][1]["arguments"] == {"$filter": "x", "città": "y", "top": 1}
    with pytest.raises(ToolError, match="is missing"):
        use(in_alice, "shop__find")


@pytest.mark.parametrize(
    ("given", "properties", "note"),
    [
        (None, set(), ""),
        (True, set(), ""),
        ({}, set(), ""),
        ({"properties": {"a": {}}}, {"a"}, ""),
        ({"type": ["object", "null"], "properties": {"a": {}}}, {"a"}, ""),
        ({"$ref": "#/definitions/Args", "definitions": {"Args": {"properties": {"a": {}}}}}, {"a"}, ""),
        (
            {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"a", "b"},
            "belong together",
        ),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, {"a"}, "is not checked"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [{}]}}}, {"a"}, ""),
    ],
)
def test_schemas_become_what_providers_take(given, properties, note):
    parameters, _, notes = parameters_of(given)
    assert (parameters["type"], set(parameters["properties"])) == ("object", properties)
    assert not {"anyOf", "allOf", "oneOf", "$ref", "$schema"} & set(parameters)
    assert note in " ".join(notes)
    assert bool(note) is bool(notes)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"type": "string"}, "no object"),
        ([], "no JSON Schema"),
        ({"properties": {"a": {"$ref": "http://127.0.0.2/x"}}}, "nothing outside"),
        ({"properties": {"a": {"$ref": "file:///etc/hosts"}}}, "nothing outside"),
        ({"anyOf": [{"$ref": "#"}]}, "without end"),
    ],
)
def test_a_tool_whose_schema_cannot_be_used_is_left_out_with_the_reason(given, why):
    described = describe("shop", [{"name": "bad", "inputSchema": given}, {"name": "good"}])
    assert [tool["name"] for tool in described.tools] == ["good"]
    assert (described.left_out[0]["name"], why in described.left_out[0]["why"]) == ("bad", True)


def test_pages_of_tools_are_bounded_and_what_is_beyond_is_told(server, mcp):
    mcp.tools = [{"name": f"t{number}"} for number in range(70)]
    mcp.page_size = 20
    connecting.list_tools(server=server)
    assert (len(server.tools), len(server.left_out)) == (50, 11)
    assert server.left_out[-1]["why"] == "The server has more tools than are listed here."
    mcp.tools, mcp.page_size, mcp.pages_end = [{"name": "one"}], 1, False
    mcp.asked.clear()
    connecting.list_tools(server=server)
    assert len(mcp.asked) <= 13
    assert [tool["name"] for tool in server.tools] == ["one"]
    assert server.left_out


def test_a_server_elsewhere_says_where(server, mcp):
    mcp.faults.append("redirect")
    connecting.list_tools(server=server)
    assert "/mcp/" in server.problem


MESSAGES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.text(max_size=5)
    | st.sampled_from(["text", "object", "#", "2025-06-18"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["result", "error", "id", "tools", "name", "inputSchema", "content", "text", "type", "message", "data"]
            )
            | st.sampled_from(
                ["nextCursor", "protocolVersion", "isError", "structuredContent", "resource", "properties", "$ref"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@within(max_examples=200, deadline=None)
@given(
    MESSAGES,
    st.sampled_from(["{}", "data: {}\n\n", "event: x\r\ndata: {}\r\n\r\n", "[{}]", "\ufeff{}", "{} x"]),
    st.booleans(),
)
def test_whatever_a_server_answers_ends_in_a_result_or_in_our_own_error(message, shape, is_answer):
    answer = {"jsonrpc": "2.0", "id": 2, "result": message} if is_answer else message

    def send(**request):
        number = json.loads(request["body"]).get("id", 0)
        body = shape.replace("{}", json.dumps({**answer, "id": number} if isinstance(answer, dict) else answer))
        assert isinstance(request["is_enough"](bytearray(body.encode())), bool)
        return Outcome(Problem.NONE, 1, 200, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.connected.mcp.send", send)
        for agreed in (None, Agreed("s", "2025-06-18")):
            client = McpClient(url="https://a.test/", headers={}, time_limit_s=5, agreed=agreed)
            for ask in (client.list_tools, lambda client=client: client.call_tool("x", {})):
                try:
                    told = ask()
                except McpError as error:
                    assert len(str(error)) < 300
                else:
                    json.dumps(
                        told if isinstance(told, tuple) else vars(describe("s", told.tools)), ensure_ascii=False
                    ).encode()


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
        *(
            ({"headers": f"{name}: x"}, "is set by the request itself")
            for name in ("Host", "content-length", "Connection", "TE")
        ),
        ({"headers": "Transfer-Encoding: chunked"}, "is set by the request itself"),
        ({"headers": "X: 1\nx: 2"}, "there twice"),
        ({"headers": "X: ••••••"}, "none is kept"),
        ({"headers": "X: grüß"}, "no header can have"),
        (
            {"parameters": json.dumps({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/"}}})},
            "nothing outside",
        ),
        ({"parameters": json.dumps({"type": "object", "properties": {"a": {"pattern": "(?=a)"}}})}, "cannot be used"),
        ({"parameters": json.dumps({"type": "object", "properties": {"a b": {}}})}, "no name for a parameter"),
        ({"name": "a__b"}, "Two underscores"),
        ({"name": "Big Name"}, "Small letters"),
    ],
)
def test_a_faulty_form_says_so(client, changes, why):
    answer = client.post("/agents/tools/http/new/", {**FORM, "url": "https://93.184.215.14/", **changes})
    assert answer.status_code == 422
    assert why in answer.content.decode()


def test_kept_secrets_do_not_follow_to_another_host(client, alice, receiver):
    made = client.post("/agents/tools/http/new/", {**FORM, "url": f"http://127.0.0.1:{receiver.port}/a"})
    kept = {**FORM, "headers": "Authorization: ••••••"}
    for url in ("https://93.184.215.14/a", "http://127.0.0.1:1/a", f"https://127.0.0.1:{receiver.port}/a"):
        answer = client.post(f"{made.url}edit/", {**kept, "url": url})
        assert answer.status_code == 422
        assert "write the values again" in answer.content.decode()
    assert client.post(f"{made.url}edit/", {**kept, "url": f"http://127.0.0.1:{receiver.port}/b"}).status_code == 302
    client.post(f"{made.url}edit/", {**FORM, "headers": "Authorization: other", "url": "http://127.0.0.1:1/a"})
    with entered(alice):
        assert HttpTool.objects.get().headers == {"Authorization": "other"}


def test_a_server_is_added_and_its_tools_allowed(client, alice, mcp, providers):
    form = {"name": "shop", "url": f"{providers.url}/mcp", "time_limit_s": "5", "is_active": "on"}
    made = client.post("/agents/tools/mcp/new/", {**form, "headers": f"Authorization: Bearer {mcp.token}"})
    page = client.get(made.url).content.decode()
    assert "shop__stock" in page
    assert "broken-schema" in page
    assert "Its parameters are no object." in page
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
