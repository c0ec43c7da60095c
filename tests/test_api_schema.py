"""Every operation of the REST API is asked what its own description allows, and what it does not.

Nothing here names an operation: what is added to the API is asked as soon as it is described. Each question is undone
before the next, and the answers are the same at every run.
"""

from __future__ import annotations

import logging
import re
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import EndpointEnumerator
from hypothesis import HealthCheck, settings
from rest_framework.settings import api_settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from werkzeug.test import Client  # Django's own would undo what `api` does

from telephony.tests.factories import add_message, make_finished_call
from tenants.authentication import tokens_for
from tenants.context import entered
from tenants.models import Tenant, User

EXAMPLES = 4
# A thing with forty fields is asked about in four hundred ways that differ little: past these, one in sixteen will do.
ASKED_IN_FULL, THEN_ONE_IN = 12, 16
CONFIG = SchemathesisConfig.from_dict({"seed": 1, "generation": {"max-examples": EXAMPLES, "deterministic": True}})
# What fits the description may still be refused: rules between fields, or of the organisation's own making.
# It makes up a cookie and calls it the credentials, beside the token that every question here carries.
NOT_CHECKED = [positive_data_acceptance, ignored_auth]

Finder = Callable[[str], str | None]


@pytest.fixture
def api() -> Iterator[WSGIHandler]:
    """The application in this thread, so that it works within the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield WSGIHandler()
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def headers(alice: Tenant, owner: User) -> dict[str, str]:
    return {"Host": "alice.test", "Authorization": f"Bearer {tokens_for(owner.memberships.get()).access_token}"}


@pytest.fixture
def described(
    request: pytest.FixtureRequest, api: WSGIHandler, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    request.node._nodeid = request.node.nodeid  # schemathesis asks for it by the name older versions of pytest had
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", {"token": None}, raising=False)
    monkeypatch.setattr(logging.getLogger("django.request"), "level", logging.ERROR)  # refusals are what is asked for
    monkeypatch.setattr(zoneinfo, "available_timezones", cache(zoneinfo.available_timezones))  # reads a folder each time
    found = schemathesis.openapi.from_wsgi("/api/schema/?format=json", api, headers=headers, config=CONFIG)
    found.config.update(headers=headers)
    return found


@pytest.fixture
def existing(api: WSGIHandler, alice: Tenant, headers: dict[str, str]) -> Finder:
    """Return how to find the id of something in a collection of the API, if there is anything."""
    with entered(alice):
        add_message(make_finished_call(), 1, "user", "Hello.")

    @cache
    def find(collection: str) -> str | None:
        answer = Client(api).get(collection, headers=headers)
        rows = answer.json if answer.status_code == 200 else []
        rows = rows.get("results", []) if isinstance(rows, dict) else rows
        return str(rows[0]["id"]) if rows and "id" in rows[0] else None

    return find


@pytest.fixture
def asked() -> Counter[str]:
    """How often each operation was."""
    return Counter()


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_is_what_its_description_says(case: schemathesis.Case, existing: Finder, asked: Counter[str]) -> None:
    asked[case.operation.label] += 1
    beyond = asked[case.operation.label] - ASKED_IN_FULL
    if beyond > 0 and beyond % THEN_ONE_IN:
        return
    name_something_that_exists(case, existing)

    with transaction.atomic():
        case.call_and_validate(excluded_checks=NOT_CHECKED)
        transaction.set_rollback(True)


def test_nothing_but_the_signing_in_is_open_to_everybody(visit: Any, alice: Tenant) -> None:
    found = EndpointEnumerator(urlconf="thanos.urls_api").get_api_endpoints()  # type: ignore[no-untyped-call]

    def answer(path: str, method: str) -> int:
        for name in ("1", str(UUID(int=1))):  # an address that cannot be is a 404 before anybody is asked who they are
            status: int = visit().generic(method, re.sub(r"{[a-z_]+}", name, path)).status_code
            if status != 404:
                break
        return status

    answers = {(path, method): answer(path, method) for path, _, method, _ in found}

    open_to_all = {("/api/v1/token/", "POST"), ("/api/v1/token/refresh/", "POST")}
    assert {asked for asked, status in answers.items() if status != 401} <= open_to_all


def name_something_that_exists(case: schemathesis.Case, existing: Finder) -> None:
    """Where any address of a thing would do: made-up ones would show a 404 and little else."""
    collection, _, rest = case.path.partition("{")
    name = rest.partition("}")[0]
    if not name or case.meta is None or case.meta.is_negative_at(ParameterLocation.PATH):
        return
    if found := existing(collection):
        case.path_parameters[name] = found
