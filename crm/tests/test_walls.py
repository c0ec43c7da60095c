"""Every route of this room, whatever it is: who is let in, and who is not told that it exists."""

from __future__ import annotations

import uuid

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

NAMESPACES = ("crm", "imports", "hooks", "email")
_SAMPLES = {"int": 1, "uuid": uuid.UUID(int=1), "slug": "city", "str": "x"}


def routes() -> list[str]:
    found = []
    for resolver in get_resolver("thanos.urls_tenant").url_patterns:
        if isinstance(resolver, URLResolver) and resolver.namespace in NAMESPACES:
            found += [_address(resolver.namespace, pattern) for pattern in resolver.url_patterns]
    return found


def _address(namespace: str, pattern: object) -> str:
    assert isinstance(pattern, URLPattern)
    kinds = {name: type(converter).__name__ for name, converter in pattern.pattern.converters.items()}
    values = {name: _SAMPLES[kind.removesuffix("Converter").lower()] for name, kind in kinds.items()}
    return reverse(f"{namespace}:{pattern.name}", kwargs=values)


def test_there_are_routes_to_try():
    assert len(routes()) > 50


@pytest.mark.parametrize("route", routes())
def test_nobody_but_managers_is_let_in(route, visit, member, stranger, alice):
    for person, refusal in ((member, 403), (stranger, 404), (None, 302)):
        client = visit(person)
        answers = {client.get(route).status_code, client.post(route).status_code}
        # One of the two may be the wrong method; what is the right one is refused for who asks.
        assert refusal in answers and answers <= {refusal, 405}, (route, person, answers)
