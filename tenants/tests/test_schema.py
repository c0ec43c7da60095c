"""What the description adds to every operation by itself, and that errors under /api/ are JSON wherever they come from."""

import pytest
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from rest_framework import parsers, viewsets
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from tenants.enums import Scope
from tenants.pagination import Newest
from tenants.tests.test_idempotency import Notes


class ListedNotes(Notes):
    pagination_class = Newest
    required_scopes = {"read": Scope.CONTACTS_READ, "write": Scope.CONTACTS_WRITE}

    def list(self, request):
        """Every note."""
        return Response([])


class Uploads(viewsets.GenericViewSet):
    serializer_class = Notes.serializer_class
    parser_classes = [parsers.MultiPartParser]

    def create(self, request):
        return Response({})


@pytest.fixture(scope="module")
def described():
    router = DefaultRouter()
    router.include_root_view = False
    router.register("notes", ListedNotes, basename="note")
    router.register("uploads", Uploads, basename="upload")
    generator = SchemaGenerator(patterns=[path("api/v1/", include(router.urls))])
    return generator.get_schema(request=None, public=True)


@pytest.fixture
def notes(described):
    return described["paths"]["/api/v1/notes/"]


def names(operation, place):
    return {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == place}


def test_an_idempotent_operation_has_the_header_and_its_answers(notes):
    assert names(notes["post"], "header") == {"Idempotency-Key"}
    assert set(notes["post"]["responses"]) == {"201", "400", "401", "403", "404", "409", "413", "415", "422", "429"}


def test_a_list_has_its_page_and_nothing_of_writing(notes):
    assert (names(notes["get"], "query"), names(notes["get"], "header")) == ({"cursor", "page_size"}, set())
    assert set(notes["get"]["responses"]) == {"200", "400", "401", "403", "404", "429"}


def test_an_operation_says_which_scope_it_needs_after_what_it_is(notes):
    assert notes["get"]["description"] == "Every note.\n\nAn API token needs the scope `contacts:read`."
    assert notes["post"]["description"].endswith("An API token needs the scope `contacts:write`.")


def test_tokens_are_a_way_in(described, notes):
    assert notes["get"]["security"][0] == {"apiToken": []}
    assert described["components"]["securitySchemes"]["apiToken"]["scheme"] == "bearer"


def test_json_is_promised_but_where_a_view_chose_its_parsers(described, notes):
    upload = described["paths"]["/api/v1/uploads/"]["post"]

    assert list(notes["post"]["requestBody"]["content"]) == ["application/json"]
    assert list(upload["requestBody"]["content"]) == ["multipart/form-data"]


def test_a_view_closed_to_tokens_says_nothing_of_scopes(described):
    assert "scope" not in described["paths"]["/api/v1/uploads/"]["post"].get("description", "")


@pytest.mark.parametrize("address", ["/api/v1/calls/0.5/", "/api/v1/nothing/", "/api/v2/"])
def test_an_address_that_leads_nowhere_answers_in_json(visit, owner, address):
    response = visit(owner).get(address)

    assert (response.status_code, response["Content-Type"]) == (404, "application/json")
    assert response.json() == {"detail": "Not found."}


def test_a_stranger_gets_json_as_well(visit, stranger):
    response = visit(stranger).get("/api/v1/calls/")

    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


def test_pages_stay_pages(visit, owner):
    assert b"<!doctype html>" in visit(owner).get("/nothing/").content
