"""The staff pages: what runs now, and numbers at the carrier."""

import pytest
from django.contrib.auth.models import Permission

from telephony import staff_views
from telephony.models import Line
from telephony.tests.factories import make_call
from telephony.workers import OpenSocket, WorkerReport
from tenants.context import entered
from tenants.models import AuditEvent, PhoneNumber, Tenant, User


@pytest.fixture
def staff(db):
    return User.objects.create_user("staff@public.test", "correct horse battery", is_staff=True, is_superuser=True)


@pytest.fixture
def pages(staff, visit):
    return visit(staff, host="public.test")


def test_calls_and_sockets_by_tenant(pages, alice, bob, monkeypatch):
    with entered(alice):
        make_call()
        make_call()
    sockets = (OpenSocket("CA1", alice.schema_name),)
    monkeypatch.setattr(staff_views, "reports", lambda: [WorkerReport("host:1", sockets, False)])

    context = pages.get("/admin/live/").context

    assert [(load.tenant, load.calls, load.sockets) for load in context["loads"]] == [(alice, 2, 1)]
    assert (context["calls"], context["sockets"]) == (2, 1)


def test_sockets_are_unknown_when_the_workers_cannot_be_asked(pages, alice, monkeypatch):
    with entered(alice):
        make_call()
    monkeypatch.setattr(staff_views, "reports", lambda: None)

    page = pages.get("/admin/live/").content.decode()

    assert "open media sockets: <strong>unknown</strong>" in page


def test_a_number_is_searched_bought_and_pointed_at_us(pages, alice, providers):
    page = pages.get("/admin/live/numbers/?country=US&area_code=541")
    offer = page.context["offers"][0].number

    pages.post("/admin/live/numbers/buy/", {"number": offer, "tenant": alice.pk})

    row = PhoneNumber.objects.get(number=offer)
    owned = providers.network.numbers[row.twilio_sid]
    assert row.tenant == alice
    assert owned["voice_url"] == "https://calls.example/api/webhooks/incoming-call"
    assert owned["status_callback"] == "https://calls.example/api/webhooks/call-status"
    assert owned["voice_fallback_url"] == "https://calls.example/api/webhooks/call-continue"
    with entered(alice):
        assert Line.objects.filter(phone_number=offer).exists()
    assert {"number-bought", "number-attached"} <= set(AuditEvent.objects.values_list("action", flat=True))


def test_a_double_submit_buys_once(pages, alice, providers):
    for _ in range(2):
        pages.post("/admin/live/numbers/buy/", {"number": "+15415550123", "tenant": alice.pk})

    assert len(providers.network.numbers) == 1
    assert PhoneNumber.objects.filter(number="+15415550123").count() == 1


def test_anothers_number_is_not_bought(pages, alice, bob, providers):
    pages.post("/admin/live/numbers/buy/", {"number": "+15550200", "tenant": alice.pk})

    assert providers.network.numbers == {}
    assert PhoneNumber.objects.get(number="+15550200").tenant == bob


def test_attaching_needs_a_number_the_account_owns(pages, alice, providers):
    response = pages.post("/admin/live/numbers/attach/", {"number": "+15415550123", "tenant": alice.pk}, follow=True)

    assert "does not own" in response.content.decode()
    assert not PhoneNumber.objects.filter(number="+15415550123").exists()


@pytest.mark.parametrize("query", ["country=US&area_code=abc", "country=", "country=USA"])
def test_a_search_that_makes_no_sense_is_said_so(pages, providers, query):
    response = pages.get(f"/admin/live/numbers/?{query}")

    assert response.status_code == 200
    assert response.context["search"].errors


def test_a_carrier_that_does_not_answer_is_said_so(pages, providers):
    providers.sandbox.rest.away = 1

    assert "did not answer" in pages.get("/admin/live/numbers/?country=US").context["fault"]


def test_an_organisation_is_added_with_its_schema(pages):
    values = {
        "name": "Dora's",
        "domain": "dora.test",
        "admin_email": "dora@dora.test",
        "admin_password": "a long enough one",
    }
    pages.post("/admin/tenants/tenant/add/", values)

    tenant = Tenant.objects.get(name="Dora's")
    with entered(tenant):
        assert Line.objects.filter(is_default=True).exists()
    assert pages.post("/admin/tenants/tenant/add/", values).status_code == 422


def test_switching_off_and_deleting_ask_for_rights_and_for_certainty(pages, alice, visit, staff):
    act = {"_selected_action": [alice.pk], "action": "switch_off"}
    pages.post("/admin/tenants/tenant/", act)
    assert not Tenant.objects.get(pk=alice.pk).is_active

    first = pages.post("/admin/tenants/tenant/", {**act, "action": "export_and_delete"})
    assert b"cannot be undone" in first.content
    assert Tenant.objects.filter(pk=alice.pk).exists()
    pages.post("/admin/tenants/tenant/", {**act, "action": "export_and_delete", "confirm": "yes"})
    assert not Tenant.objects.filter(pk=alice.pk).exists()


def test_staff_without_rights_only_look(visit, alice, providers):
    looker = User.objects.create_user("looker@public.test", "correct horse battery", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    pages = visit(looker, host="public.test")

    assert pages.get("/admin/tenants/tenant/").status_code == 200
    pages.post("/admin/tenants/tenant/", {"_selected_action": [alice.pk], "action": "switch_off"})
    assert Tenant.objects.get(pk=alice.pk).is_active
    assert pages.get("/admin/tenants/tenant/add/").status_code == 403
    assert pages.get("/admin/live/numbers/").status_code == 403
    assert pages.post("/admin/live/numbers/buy/", {"number": "+15415550123", "tenant": alice.pk}).status_code == 403
    assert providers.network.numbers == {}


def test_staff_come_in_by_the_same_door_as_everybody(db, visit):
    response = visit(host="public.test").get("/admin/", follow=True)

    assert response.request["PATH_INFO"] == "/accounts/login/"
