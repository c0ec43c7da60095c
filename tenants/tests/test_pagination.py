"""Every row once, in order, both ways, whatever happens meanwhile; and no cursor that breaks anything."""

import base64
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.db.models.functions import Length
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework import exceptions, filters, generics
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from tenants.models import ApiToken, User
from tenants.pagination import Newest

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.get_fixed_timezone(0))


@pytest.fixture
def rows(alice):
    """Nine of them, by threes at the same instant, of which one in three has never been used."""

    def make(number, at):
        return ApiToken(
            tenant=alice,
            name=f"N{number % 4}",
            token_hash=f"{number:064}",
            prefix="tht_",
            scopes=["calls:read"],
            created_at=at,
            last_used_at=None if number % 3 == 0 else at + timedelta(hours=number),
        )

    ApiToken.objects.bulk_create([make(number, START + timedelta(minutes=number // 3)) for number in range(9)])
    return ApiToken.objects.order_by("-created_at", "-id")


class View(generics.GenericAPIView):
    filter_backends = [filters.OrderingFilter]
    ordering_fields = ["name", "created_at", "last_used_at", "length"]


def page(queryset, query="", paginator=Newest, view=None):
    request = Request(APIRequestFactory().get(f"/rows/?{query}", headers={"host": "alice.test"}))
    pages = paginator()
    return pages.paginate_queryset(queryset, request, view), pages.get_paginated_response([]).data


def query_of(link):
    return urlsplit(link).query


def walk(queryset, query, link="next", **more):
    found = []
    while True:
        rows, answer = page(queryset, query, **more)
        found.append(rows)
        if answer[link] is None:
            return found
        query = query_of(answer[link])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 9, 200])
def test_every_row_is_met_once_newest_first(rows, size):
    pages = walk(rows, f"page_size={size}")

    assert [row for found in pages for row in found] == list(rows)
    assert {len(found) for found in pages[:-1]} <= {size}


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_way_back_is_the_way_there(rows, size):
    pages = walk(rows, f"page_size={size}")
    found, _ = page(rows, f"page_size={size}")
    query, back = f"page_size={size}", []
    for _ in pages[:-1]:
        query = query_of(page(rows, query)[1]["next"])
    while query:
        found, answer = page(rows, query)
        back.append(found)
        query = query_of(answer["previous"] or "")

    assert [row for found in reversed(back) for row in found] == list(rows)


def test_the_first_page_has_none_before_and_the_last_none_after(rows):
    _, first = page(rows, "page_size=5")
    _, last = page(rows, query_of(first["next"]))

    assert (first["previous"], last["next"]) == (None, None)
    assert last["previous"].startswith("http://alice.test/rows/?")


def test_a_list_without_rows_and_one_of_a_single_page_have_no_links(rows):
    assert page(rows.none())[1] == page(rows)[1] == {"next": None, "previous": None, "results": []}


def test_rows_that_come_and_go_meanwhile_neither_repeat_nor_hide_others(rows, alice):
    expected = list(rows)
    first, answer = page(rows, "page_size=4")

    ApiToken.objects.create(tenant=alice, name="New", token_hash="x", prefix="", scopes=[], created_at=timezone.now())
    first[-1].delete()  # the very row that the cursor stands on
    second, _ = page(rows, query_of(answer["next"]))

    assert second == expected[4:8]


@pytest.mark.parametrize(
    "ordering",
    ["name", "-name", "last_used_at", "-last_used_at", "-name,created_at", "name,-last_used_at", "length,-created_at"],
)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_any_order_is_complete_and_as_the_database_has_it(rows, ordering, size):
    queryset = rows.annotate(length=Length("name"))
    tie = "-id" if ordering.startswith("-") else "id"
    expected = list(queryset.order_by(*ordering.split(","), tie))

    pages = walk(queryset, f"page_size={size}&ordering={ordering}", view=View())

    assert [row for found in pages for row in found] == expected


def test_a_page_of_many_rows_of_one_instant_is_found_by_an_index(rows, alice):
    """The condition is one comparison of rows, which PostgreSQL turns into the start of an index scan."""
    _, answer = page(rows, "page_size=4")

    with CaptureQueriesContext(connection) as captured:
        page(rows, query_of(answer["next"]))

    (asked,) = captured
    assert '("tenants_apitoken"."created_at", "tenants_apitoken"."id") <' in asked["sql"]


def test_a_thousand_rows_of_one_instant_and_more_are_all_met(alice):
    """Where DRF's own cursor goes round in circles."""
    many = [
        ApiToken(tenant=alice, name="x", token_hash=f"m{number}", prefix="", scopes=[], created_at=START)
        for number in range(1_250)
    ]
    ApiToken.objects.bulk_create(many)

    pages = walk(ApiToken.objects.all(), "page_size=200")

    assert len({row.pk for found in pages for row in found}) == 1_250


def test_other_models_and_keys(db):
    class ByAddress(Newest):
        ordering = ("email",)

    for number in range(5):
        User.objects.create_user(f"u{number}@x.test")

    pages = walk(User.objects.all(), "page_size=2", paginator=ByAddress)

    addresses = [row.email for found in pages for row in found]
    assert all(one < other for one, other in pairwise(addresses))
    assert len(addresses) == User.objects.count()


def test_dictionaries_are_paged_as_well(rows):
    pages = walk(rows.values("id", "created_at", "name"), "page_size=4")

    assert [row["id"] for found in pages for row in found] == [row.pk for row in rows]


def cursor(answer):
    return parse_qs(query_of(answer["next"]))["cursor"][0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "%00",
        "%FF%FE",
        "%ED%A0%80",
        "cD0yMDI2",  # one of DRF's
        base64.b64encode(b"o=99999999999999999999&p=%00").decode(),
        "a:b:c",
        "x" * 5_000,
        "%F0%9F%98%80",
    ],
)
def test_a_cursor_that_was_not_given_out_is_a_bad_request(rows, text):
    with pytest.raises(exceptions.ValidationError) as refusal:
        page(rows, f"cursor={text}")

    assert list(refusal.value.detail) == ["cursor"]


def test_a_cursor_that_was_tampered_with_is_a_bad_request(rows):
    _, answer = page(rows, "page_size=4")
    good = cursor(answer)

    for bad in (good[:-1], good + "A", "X" + good[1:], good.swapcase()):
        with pytest.raises(exceptions.ValidationError):
            page(rows, f"cursor={bad}")


def test_a_cursor_of_another_order_is_a_bad_request(rows):
    _, answer = page(rows, "page_size=4")

    with pytest.raises(exceptions.ValidationError):
        page(rows, f"cursor={cursor(answer)}&ordering=name", view=View())


@pytest.mark.parametrize("size", ["0", "-1", "201", "x", "", "1.5", "9" * 5_000, "%00", "٣"])
def test_a_size_that_makes_no_sense_is_a_bad_request(rows, size):
    with pytest.raises(exceptions.ValidationError) as refusal:
        page(rows, f"page_size={size}")

    assert list(refusal.value.detail) == ["page_size"]


def test_the_description_says_what_there_is():
    pages = Newest()

    assert [parameter["name"] for parameter in pages.get_schema_operation_parameters(None)] == ["cursor", "page_size"]
    assert pages.get_paginated_response_schema({"type": "array"})["required"] == ["next", "previous", "results"]
