"""Whatever strangers send to pages and API is answered, and never with a 500; what is shown to people is kept by nobody."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

import pytest
from django.core.exceptions import BadRequest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants.authentication import tokens_for
from tenants.parsers import check_text

# Text of every kind, and much of what breaks programs.
ODD = st.sampled_from(
    ["\x00", "a\x00b", "\ud800", "'", '"', "%", "%00", "../..", "9" * 40, "-1", "NaN", "\u202e", "{{7*7}}"]
)
TEXT = st.text(max_size=40) | ODD | st.tuples(st.text(max_size=5), ODD).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["q", "page", "kind", "cursor", "status", "owner", "order", "from", "to", "tag", "id", "next", "code"]
)


def lists(resolver, prefix=""):
    """Yield the addresses that need no id."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from lists(pattern, route)
        elif isinstance(pattern, URLPattern) and "<" not in route and "(" not in route and "accounts/logout" not in route:
            yield "/" + route


def encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


@pytest.fixture
def somebody(visit, owner, settings):
    settings.ACCOUNT_RATE_LIMITS = {}
    client = visit(owner)
    client.raise_request_exception = False
    return client


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(st.tuples(NAMES, TEXT), min_size=1, max_size=3))
def test_no_page_or_list_fails_over_its_query(somebody, pairs):
    query = "&".join(f"{name}={encoded(value)}" for name, value in pairs)
    invalid = any("\x00" in value or any(0xD800 <= ord(letter) <= 0xDFFF for letter in value) for _, value in pairs)
    for path in ("/calls/", "/crm/contacts/", "/billing/entries/", "/settings/audit/", "/crm/tasks/", "/api/v1/contacts/"):
        status = somebody.get(f"{path}?{query}").status_code
        assert status < 500, (path, query)
        assert not invalid or status == 400, (path, query)


def test_every_page_and_list_refuses_a_nul(somebody):
    tried = 0
    for path in sorted(set(lists(get_resolver("thanos.urls_tenant")))):
        response = somebody.get(f"{path}?kind=%00&q=a%00b")
        assert response.status_code == 400, path
        tried += 1

    assert tried > 60


@pytest.mark.parametrize("query", ["%00", "q=%ff", "q=%ed%a0%80", "a%00=1", "q=a+%00", "%C3=1"])
@pytest.mark.parametrize("path", ["/", "/api/v1/contacts/", "/accounts/login/", "/health"])
def test_a_query_that_cannot_be_stored_is_a_400(somebody, path, query):
    assert somebody.get(f"{path}?{query}").status_code == 400


def test_a_path_that_cannot_be_stored_is_a_400(somebody):
    assert somebody.get("/join/a%00b/").status_code == 400


@pytest.mark.parametrize("kind", ["form", "multipart"])
@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/settings/organisation/", "/api/v1/token/", "/settings/people/invite/"]
)
def test_a_form_that_cannot_be_stored_is_a_400(somebody, path, kind):
    values = {"login": "a\x00b", "name": "a\x00b", "email": "a\x00b@x.test", "password": "x"}
    if kind == "form":
        response = somebody.post(path, urlencode(values), content_type="application/x-www-form-urlencoded")
    else:
        response = somebody.post(path, values)

    assert response.status_code == 400


@pytest.mark.parametrize("webhook", ["incoming-call", "call-status", "incoming-sms", "sms-status", "recording-status"])
def test_a_webhook_with_a_nul_is_a_400_whoever_signed_it(db, webhook, settings):
    from twilio.request_validator import RequestValidator

    form = {"CallSid": "CA1", "From": "+1555\x00", "To": "+15550100", "AccountSid": settings.ENV.twilio_account_sid}
    url = f"{settings.PUBLIC_URL}/api/webhooks/{webhook}"
    signature = RequestValidator(settings.ENV.twilio_auth_token).compute_signature(url, form)
    client = Client(headers={"x-twilio-signature": signature}, raise_request_exception=False)

    assert client.post(f"/api/webhooks/{webhook}", form).status_code == 400


# --- JSON -------------------------------------------------------------------------------------------------------------

DEEP = ["[" * 50_000 + "]" * 50_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "[" * 50_000, "[" * 65 + "]" * 65]
NO_JSON = ["", "{", "nul", "NaN", '{"a": Infinity}', "\xff", '{"a": 1,}', '"' + "x" * 10]


def api_lists() -> list[str]:
    found = set(lists(get_resolver("thanos.urls_api"))) | {"/api/v1/token/", "/api/v1/token/refresh/"}
    return sorted(path for path in found if path.endswith("/"))


@pytest.mark.parametrize("body", [*DEEP, *NO_JSON], ids=lambda body: body[:12])
def test_no_address_of_the_api_fails_over_json(somebody, body):
    for path in api_lists():
        response = somebody.post(path, body.encode("latin-1"), content_type="application/json")
        assert response.status_code < 500, path
        if body in DEEP and response.status_code not in (403, 404, 405):
            assert response.status_code in (400, 401), (path, response.status_code)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    value=st.dictionaries(st.sampled_from(["email", "password", "refresh", "code", "name", "first_name"]) | TEXT, VALUES)
)
def test_nothing_in_json_makes_signing_in_or_writing_fail(somebody, value):
    body = json.dumps(value)
    for path in ("/api/v1/token/", "/api/v1/token/refresh/", "/api/v1/contacts/", "/api/v1/custom-fields/"):
        assert somebody.post(path, body, content_type="application/json").status_code < 500, (path, body)


@given(TEXT)
def test_what_passes_can_be_stored(text):
    try:
        check_text([text])
    except BadRequest:
        return
    assert "\x00" not in text
    text.encode()


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_whatever_is_shown_to_somebody_signed_in_is_stored_nowhere(somebody):
    shown = 0
    for path in sorted(set(lists(get_resolver("thanos.urls_tenant")))):
        if path in ("/health", "/health/detailed", "/metrics"):
            continue
        response = somebody.get(path)
        assert response.headers.get("Cache-Control", "").startswith("no-store"), path
        shown += 1

    assert shown > 60


def test_the_same_goes_for_tokens_and_staff(visit, owner, alice):
    bearer = {"authorization": f"Bearer {tokens_for(owner.memberships.get()).access_token}"}
    assert visit().get("/api/v1/calls/", headers=bearer)["Cache-Control"] == "no-store"

    owner.is_staff = owner.is_superuser = True
    owner.save()
    assert visit(owner, host="public.test").get("/admin/")["Cache-Control"] == "no-store"


def test_sockets_go_to_this_host_alone(somebody):
    policy = somebody.get("/")["Content-Security-Policy"]

    assert "connect-src 'self'" in policy
    assert "ws:" not in policy and "wss:" not in policy


# --- who sees what describes the API ----------------------------------------------------------------------------------


def test_the_description_of_the_api_is_for_members(visit, member, stranger, owner):
    for path in ("/api/docs/", "/api/schema/"):
        assert visit(member).get(path).status_code == 200
        assert visit(stranger).get(path).status_code == 404
        assert visit(member).post(path).status_code in (403, 405)
    assert visit().get("/api/docs/")["Location"] == "/accounts/login/?next=/api/docs/"
    assert visit().get("/api/schema/").status_code == 401
    bearer = {"authorization": f"Bearer {tokens_for(owner.memberships.get()).access_token}"}
    assert visit().get("/api/schema/", headers=bearer).status_code == 200


def test_on_the_public_domain_it_is_for_staff(visit, owner):
    assert visit(owner, host="public.test").get("/api/docs/").status_code == 404
    owner.is_staff = True
    owner.save()
    assert visit(owner, host="public.test").get("/api/docs/").status_code == 200
    assert visit(host="public.test").get("/api/docs/").status_code == 302


def test_browsers_find_an_icon(visit, alice):
    response = visit().get("/favicon.ico")

    assert (response.status_code, response["Location"]) == (302, "/static/img/mark.svg")


@pytest.mark.parametrize("path", ["/admin/", "/admin/tenants/tenant/", "/admin/tenants/tenant/add/", "/admin/live/"])
def test_staff_pages_have_a_title(visit, owner, path):
    owner.is_staff = owner.is_superuser = True
    owner.save()

    page = visit(owner, host="public.test").get(path).content.decode()

    title = page.split("<title>")[1].split("</title>")[0].strip()
    assert len(title) > len("Thanotopolis staff")


def test_no_staff_page_has_what_the_policy_refuses(visit, owner):
    """Inline styles and scripts: each was an error in the browser's console, six a page."""
    from django.contrib import admin as staff

    owner.is_staff = owner.is_superuser = True
    owner.save()
    client = visit(owner, host="public.test")
    paths = ["/admin/", "/admin/tenants/tenant/add/", f"/admin/tenants/user/{owner.pk}/change/", "/admin/live/"]
    paths += [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in staff.site._registry]
    for path in paths:
        page = client.get(path, follow=True)
        assert page.status_code == 200, path
        found = re.findall(r"<style|<script>|\sstyle=|\son[a-z]+=", page.content.decode())
        assert found == [], path


def test_staff_see_what_the_doctor_says(visit, owner, providers):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    client = visit(owner, host="public.test")

    assert b"DEEPGRAM" not in client.get("/admin/doctor/").content
    providers.agent.api_key = "another"
    page = client.get("/admin/doctor/").content.decode()

    assert "Deepgram does not know the key." in page and "could not be answered" in page
    assert visit(host="public.test").get("/admin/doctor/").status_code == 302
