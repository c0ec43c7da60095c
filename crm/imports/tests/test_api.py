from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from crm.imports.api import ContactImportViewSet
from crm.imports.models import ContactImport
from crm.imports.services.checking import check_import
from crm.imports.services.running import run_import
from crm.imports.services.undoing import undo_import
from crm.imports.tests.factories import HEADER, carry_out, csv_bytes, make_import, people
from crm.models import Contact
from tenants.context import entered
from tenants.models import Tenant, User
from thanos.urls_tenant import urlpatterns as of_tenant

Visit = Callable[..., Client]
URL = "/api/v1/imports/"

router = SimpleRouter()
router.register("imports", ContactImportViewSet, basename="contact-import")
urlpatterns = [path("api/v1/", include(router.urls)), *of_tenant]


@pytest.fixture(autouse=True)
def _routes(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def send(client: Client, data: bytes, **headers: str) -> Any:
    return client.post(URL, {"file": SimpleUploadedFile("contacts.csv", data)}, headers=headers)


def post(client: Client, path: str, data: Any = None) -> Any:
    return client.post(URL + path, data if data is not None else {}, content_type="application/json")


def test_a_program_imports_and_undoes(alice: Tenant, owner: User, visit: Visit) -> None:
    client = visit(owner)

    created = send(client, csv_bytes([HEADER, *people(2), ("", "", "x@y.io", "", "")]))
    assert created.status_code == 201, created.content
    body = created.json()
    assert (body["state"], body["questions"], body["mapping"][0]) == ("checking", {}, "contact_name")
    assert created["Location"].endswith(f"{URL}{body['id']}/")
    with entered(alice):
        check_import(import_id=body["id"])
    ready = client.get(f"{URL}{body['id']}/").json()
    assert (ready["state"], ready["total"], ready["checked"]["created"], ready["checked"]["bad"]) == ("ready", 3, 2, 1)

    started = post(client, f"{body['id']}/start/", {"on_duplicate": "update", "tags": ["api"], "status": "customer"})
    assert (started.status_code, started.json()["state"]) == (200, "running")
    with entered(alice):
        run_import(import_id=body["id"])
        assert list(Contact.objects.values_list("status", "tags")) == [("customer", ["api"])] * 2
    assert client.get(f"{URL}{body['id']}/").json()["counts"]["created"] == 2
    bad = client.get(f"{URL}{body['id']}/bad-rows/").json()["results"]
    cells = ["", "", "x@y.io", "", ""]
    assert bad == [{"number": 4, "reason": "there is neither a name nor a business", "cells": cells}]

    assert post(client, f"{body['id']}/undo/").json()["state"] == "undoing"
    with entered(alice):
        undo_import(import_id=body["id"])
    assert client.get(f"{URL}{body['id']}/").json()["undone"] == 2


def test_a_misspelt_header_waits_for_an_answer(owner: User, visit: Visit) -> None:
    client = visit(owner)

    body = send(client, b"Name,E-mial\nAnn,ann@example.com\n").json()
    assert (body["state"], body["questions"]) == ("uploaded", {"E-mial": "contact_email"})

    answer = {"mapping": ["contact_name", "contact_email"], "day_format": "%d.%m.%Y", "region": "DE"}
    checked = post(client, f"{body['id']}/columns/", answer).json()
    assert (checked["state"], checked["region"], checked["day_format"]) == ("checking", "DE", "%d.%m.%Y")


@pytest.mark.parametrize(
    ("mapping", "words"),
    [(["contact_name"], "2 columns; 1"), (["city", ""], "name of the person"), (["x", "contact_name"], "no such field")],
)
def test_a_mapping_with_faults_is_explained(alice: Tenant, owner: User, visit: Visit, mapping: Any, words: str) -> None:
    with entered(alice):
        record = make_import([("Ann", "x")], header=("A", "B"))

    page = post(visit(owner), f"{record.pk}/columns/", {"mapping": mapping})

    assert page.status_code == 400 and words in str(page.json()["mapping"])


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"Name\n", b"MZ" + bytes(600)])
def test_a_file_that_cannot_be_read_is_explained(alice: Tenant, owner: User, visit: Visit, data: bytes) -> None:
    page = send(visit(owner), data)

    assert page.status_code == 400 and page.json()["file"][0].endswith((".", "them."))
    with entered(alice):
        assert not ContactImport.objects.exists()


@pytest.mark.parametrize("size", [2_000, 200_000])
def test_a_file_that_is_too_large_is_refused(owner: User, visit: Visit, settings: Any, size: int) -> None:
    settings.IMPORT_MAX_BYTES = 1000

    page = send(visit(owner), b"Name\n" + b"x" * size)

    assert page.status_code == 413 and "larger than" in page.json()["detail"]


def test_the_same_upload_sent_twice_is_one_import(alice: Tenant, owner: User, visit: Visit) -> None:
    client, key = visit(owner), {"Idempotency-Key": "once"}

    first, second = (send(client, b"Name\nAnn\n", **key) for _ in range(2))

    assert first.json() == second.json()
    with entered(alice):
        assert ContactImport.objects.count() == 1


def test_what_cannot_be_done_now_is_a_conflict(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        record = carry_out(make_import([("", "", "", "", "x"), ("", "", "x@y.io", "", "")]))
    client = visit(owner)

    for name, data in (("start", {}), ("cancel", {}), ("undo", {}), ("columns", {"mapping": record.mapping})):
        page = post(client, f"{record.pk}/{name}/", data)
        assert (page.status_code, bool(page.json()["detail"])) == (409, True), name


@pytest.mark.parametrize(
    "data",
    [{"on_duplicate": "burn"}, {"owner": "x"}, {"owner": 2**70}, {"tags": ["x" * 61]}, {"status": "king"}, {"tags": "a"}],
)
def test_a_start_with_bad_values_is_refused(alice: Tenant, owner: User, visit: Visit, data: Any) -> None:
    with entered(alice):
        record = make_import(people(1))

    assert post(visit(owner), f"{record.pk}/start/", data).status_code == 400


def test_who_may_use_it(alice: Tenant, bob: Tenant, member: User, admin: User, stranger: User, visit: Visit) -> None:
    with entered(bob):
        make_import(people(1))
        theirs = make_import(people(1))
    with entered(alice):
        record = make_import(people(1))
    paths = ("", f"{record.pk}/", f"{record.pk}/bad-rows/", f"{record.pk}/unread-cells/")

    for where in paths:
        assert visit().get(URL + where).status_code == 401
        assert visit(member).get(URL + where).status_code == 403
        assert visit(stranger).get(URL + where).status_code == 404
        assert visit(admin).get(URL + where).status_code == 200
    assert [found["id"] for found in visit(admin).get(URL).json()["results"]] == [record.pk]
    assert visit(admin).get(f"{URL}{theirs.pk}/").status_code == 404
    assert send(visit(member), b"Name\nAnn\n").status_code == 403
    assert visit(admin).delete(f"{URL}{record.pk}/").status_code == 405
    assert visit(admin).get(f"{URL}nonsense/").status_code == 404
