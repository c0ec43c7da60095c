"""Lists a page at a time, by where the last page ended.

A page costs the same however deep it is, and nothing is skipped or repeated when rows come and go meanwhile. DRF's own
cursor knows one column and counts through equal values of it, up to a thousand; an import writes far more rows than
that at the same instant, so ours holds a value for every column of the order, and the row's key last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core import signing
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import F, Field, Model, Q, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from rest_framework import exceptions
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

# Signed, so that what reaches the database was written here: no hostile values, no half-understood ones.
_signer = signing.Signer(salt="tenants.pagination")


class Newest(BasePagination):
    """Newest first; a view's ordering filter may say otherwise. A missing value counts as the largest."""

    ordering: Sequence[str] = ("-created_at", "-id")
    page_size = 50
    max_page_size = 200

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        size = self._page_size(request)
        order = self._order(queryset, request, view)
        backwards, position = self._position(queryset, request, order)
        if position is not None:
            queryset = queryset.filter(beyond(queryset, _reverse(order) if backwards else order, position))
        rows = list(queryset.order_by(*(_reverse(order) if backwards else order))[: size + 1])
        more, page = len(rows) > size, rows[:size]
        if backwards:
            page.reverse()
        self._base = request.build_absolute_uri()
        after, before = (True, more) if backwards else (more, position is not None)
        self.next_link = self._link(False, order, page[-1]) if after and page else None
        self.previous_link = self._link(True, order, page[0]) if before and page else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link, "previous": self.previous_link, "results": data})

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        link = {"type": "string", "nullable": True, "format": "uri"}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Where a page begins, as `next` and `previous` of another page say.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": "How many results a page holds.",
                "schema": size,
            },
        ]

    def _page_size(self, request: Request) -> int:
        text = request.query_params.get("page_size")
        if text is None:
            return self.page_size
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= self.max_page_size):
            raise exceptions.ValidationError({"page_size": [f"Must be a number from 1 to {self.max_page_size}."]})
        return int(text)

    def _order(self, queryset: QuerySet[Any], request: Request, view: APIView | None) -> tuple[str, ...]:
        """Return the columns, the unique one last, so that no two rows are equal."""
        order = tuple(self.ordering)
        for backend in getattr(view, "filter_backends", []):
            if hasattr(backend, "get_ordering"):
                order = tuple(backend().get_ordering(request, queryset, view) or order)
        key = queryset.model._meta.pk.name
        if not {name.lstrip("-") for name in order} & {key, "pk"}:
            order = (*order, f"-{key}" if order[0].startswith("-") else key)
        return order

    def _position(self, queryset: QuerySet[Any], request: Request, order: tuple[str, ...]) -> tuple[bool, list[Any] | None]:
        """Return whether the page lies before the cursor's row, and that row's values. Raises ValidationError."""
        text = request.query_params.get("cursor")
        if text is None:
            return False, None
        try:
            backwards, names, values = _signer.unsign_object(text)
            if tuple(names) != order:
                raise ValueError("a cursor of another order")
            fields = [_field(queryset, name) for name in order]
            return bool(backwards), [field.to_python(value) for field, value in zip(fields, values, strict=True)]
        except (signing.BadSignature, ValidationError, ValueError, TypeError):
            message = "This is not a cursor of this list. Take it from `next` or `previous` of a page."
            raise exceptions.ValidationError({"cursor": [message]}) from None

    def _link(self, backwards: bool, order: tuple[str, ...], row: Any) -> str:
        values = [None if value is None else str(value) for value in (_value(row, name) for name in order)]
        cursor = _signer.sign_object([int(backwards), order, values])
        return str(replace_query_param(self._base, "cursor", cursor))


def _reverse(order: Sequence[str]) -> tuple[str, ...]:
    return tuple(name[1:] if name.startswith("-") else f"-{name}" for name in order)


def _value(row: Model | Mapping[str, Any], name: str) -> Any:
    name = name.lstrip("-")
    return row[name] if isinstance(row, Mapping) else getattr(row, name)


def _field(queryset: QuerySet[Any], name: str) -> Field[Any, Any]:
    """Return the column, or the kind of value an annotation has."""
    name = name.lstrip("-")
    if name in queryset.query.annotations:
        return queryset.query.annotations[name].output_field  # type: ignore[no-any-return]
    try:
        field = queryset.model._meta.pk if name == "pk" else queryset.model._meta.get_field(name)
    except FieldDoesNotExist:
        raise ValueError(f"no column to order by: {name}") from None
    return field  # type: ignore[no-any-return]


def beyond(queryset: QuerySet[Any], order: Sequence[str], position: Sequence[Any]) -> Any:
    """Return the condition for rows that come after this position in this order.

    One direction and no missing values: a comparison of rows, which PostgreSQL answers from an index alone.
    """
    names = [name.lstrip("-") for name in order]
    downwards = {name.startswith("-") for name in order}
    certain = all(name not in queryset.query.annotations and not _field(queryset, name).null for name in names)
    if len(downwards) == 1 and certain and len(names) > 1:
        compare = TupleLessThan if downwards.pop() else TupleGreaterThan
        return compare(Tuple(*(F(name) for name in names)), list(position))
    condition, equal = Q(pk__in=[]), Q()
    for name, value in zip(order, position, strict=True):
        further = _further(name.lstrip("-"), value, down=name.startswith("-"))
        if further is not None:
            condition |= equal & further
        equal &= Q(**{f"{name.lstrip('-')}__isnull": True} if value is None else {name.lstrip("-"): value})
    return condition


def _further(name: str, value: Any, *, down: bool) -> Q | None:
    """Return the condition for one column to be past a value; a missing one is past everything, as in PostgreSQL."""
    if value is None:
        return Q(**{f"{name}__isnull": False}) if down else None
    return Q(**{f"{name}__lt": value}) if down else Q(**{f"{name}__gt": value}) | Q(**{f"{name}__isnull": True})
