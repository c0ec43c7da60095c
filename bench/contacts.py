"""Every way of looking at a million contacts and three million interactions: what a page costs the server.

A page is asked for as a signed-in owner does, through all middleware, with its template rendered. One that misses the
target is measured once more, and the window counts in which strangers (other programs on the machine) took least of the
cores. Beside it stands what it cost this process and the database in CPU time, which strangers change little.
The same pages of a small tenant tell whether the number of queries depends on the number of contacts.
`BENCH_CONTACTS` makes it smaller, for a quick look; `BENCH_PLANS` prints the plans of more than the slowest page.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from bench.cpu import REST, TESTED, Usage, busy_s, on_a_core_of_its_own
from bench.pages import Page, pages
from bench.population import Populated, populate
from bench.product import Product
from bench.report import Result, percentile

if TYPE_CHECKING:
    from django.test import Client

    from tenants.models import Tenant, User

CONTACTS = int(os.environ.get("BENCH_CONTACTS", "1000000"))
SMALL = 400
PEOPLE = 5
PLANS = int(os.environ.get("BENCH_PLANS", "1"))
RUNS = 30
ENOUGH_S = 3.0  # a window of a page that takes seconds ends early
FEWEST_RUNS = 5
TARGET_MS = 100.0


@dataclass
class Window:
    times_ms: list[float]
    python_ms: float  # CPU time a run
    database_ms: float
    strangers_share: float  # of both cores together

    @property
    def p95(self) -> float:
        return percentile(self.times_ms, 0.95)


@dataclass
class Measured:
    page: Page
    window: Window
    queries: list[dict[str, str]] = field(repr=False)
    queries_small: int = 0

    @property
    def asked(self) -> int:
        return _asked(self.queries)


def run(product: Product) -> list[Result]:
    results: list[Result] = []
    with product.worker_paused(), on_a_core_of_its_own():
        small, owner, _ = _make_tenant("small.localhost", SMALL)
        big, owner, filled = _make_tenant("big.localhost", CONTACTS)
        what = f"{filled.contacts:,} with {filled.interactions:,} interactions; indexes and VACUUM {filled.index_s:.0f} s"
        results.append(Result("contacts", "written by COPY", filled.contacts / filled.copy_s, "a second", note=what))
        client = _client(big, owner)
        measured = _measure_all(client, pages(big))
        _count_in_small(measured, _client(small, owner), small)
        results += [_result(one) for one in measured]
        results += _summary(measured)
        for one in sorted(measured, key=lambda one: one.window.p95, reverse=True)[:PLANS]:
            _explain(one, big)
    return results


def _result(one: Measured) -> Result:
    window = one.window
    cpu = f"CPU {window.python_ms:.0f} here and {window.database_ms:.0f} in the database"
    note = f"p50 {percentile(window.times_ms, 0.5):.0f}; {cpu}; {one.asked} queries; strangers {window.strangers_share:.0%}"
    return Result("contacts", f"{one.page.name}, p95", window.p95, "ms", TARGET_MS, note=note)


def _summary(measured: list[Measured]) -> list[Result]:
    differing = [one for one in measured if one.asked != one.queries_small]
    names = " · ".join(f"{one.page.name} {one.queries_small} → {one.asked}" for one in differing)
    most = max(measured, key=lambda one: one.asked)
    slow = [one for one in measured if one.window.p95 > TARGET_MS]
    return [
        Result("contacts", "pages slower than that", len(slow), f"of {len(measured)}", 0),
        Result("contacts", "most SQL queries of a page", most.asked, "", note=most.page.name),
        Result("contacts", "pages with other queries in a small tenant", len(differing), "", 0, note=names),
    ]


# --- the scene -------------------------------------------------------------------------------------------------------


def _make_tenant(domain: str, count: int) -> tuple[Tenant, User, Populated]:
    from tenants.enums import Role
    from tenants.models import Membership, User
    from tenants.services.tenants import create_tenant

    tenant = create_tenant(name="Bench", domain=domain, admin_email="bench@bench.localhost")
    people = [User.objects.get(email="bench@bench.localhost")]
    for number in range(1, PEOPLE):
        person, _ = User.objects.get_or_create(
            email=f"bench{number}@bench.localhost", defaults={"name": f"Person {number}"}
        )
        Membership.objects.create(tenant=tenant, user=person, role=Role.ADMIN)
        people.append(person)
    return tenant, people[0], populate(tenant=tenant, people=people, count=count)


def _client(tenant: Tenant, user: User) -> Client:
    from django.test import Client

    client = Client(headers={"host": tenant.domains.get().domain})
    client.force_login(user)
    return client


# --- measuring -------------------------------------------------------------------------------------------------------


def _measure_all(client: Client, chosen: list[Page]) -> list[Measured]:
    measured = []
    for number, page in enumerate(chosen):
        if number % 20 == 0:
            print(f"  {number} of {len(chosen)} pages measured …", flush=True)
        measured.append(_measure(client, page))
    return measured


def _measure(client: Client, page: Page) -> Measured:
    queries = _queries(client, page)  # warms, too
    windows = [_window(client, page)]
    if windows[0].p95 > TARGET_MS:
        windows.append(_window(client, page))
    one = Measured(page, min(windows, key=lambda window: window.strangers_share), queries)
    return one


def _window(client: Client, page: Page) -> Window:
    from django.db import connection

    this = Usage(os.getpid())
    server = psutil.Process(connection.connection.info.backend_pid).parent()
    cores = TESTED | REST
    times_ms: list[float] = []
    begun = time.perf_counter()
    this_s, database_s, all_s = this.cpu_s(), _database_s(server), busy_s(cores)
    while len(times_ms) < RUNS and (time.perf_counter() - begun < ENOUGH_S or len(times_ms) < FEWEST_RUNS):
        before = time.perf_counter()
        _get(client, page)
        times_ms.append((time.perf_counter() - before) * 1000)
    this_s, database_s, all_s = this.cpu_s() - this_s, _database_s(server) - database_s, busy_s(cores) - all_s
    strangers = max(0.0, all_s - this_s - database_s) / (time.perf_counter() - begun) / len(cores)
    return Window(times_ms, this_s * 1000 / len(times_ms), database_s * 1000 / len(times_ms), strangers)


def _database_s(server: psutil.Process) -> float:
    """Return the CPU time of the database's processes, those of a parallel query that have ended already included."""
    ended = server.cpu_times()
    living = sum(Usage(process.pid).cpu_s() for process in server.children())
    return float(living + ended.children_user + ended.children_system)


def _get(client: Client, page: Page) -> None:
    response = client.get(page.path, headers={"hx-request": "true"} if page.is_htmx else {})
    if response.status_code != 200:
        raise RuntimeError(f"{page.path} answered {response.status_code}: {response.content.decode()[:300]}")


def _queries(client: Client, page: Page) -> list[dict[str, str]]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    _get(client, page)
    with CaptureQueriesContext(connection) as context:
        _get(client, page)
    return list(context.captured_queries)


def _asked(queries: list[dict[str, str]]) -> int:
    """Count what asks for something: not what opens a transaction or sets a parameter of the planner."""
    return sum(
        query["sql"].lstrip("( \n").startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")) for query in queries
    )


def _count_in_small(measured: list[Measured], client: Client, tenant: Tenant) -> None:
    for one, page in zip(measured, pages(tenant), strict=True):
        one.queries_small = _asked(_queries(client, page))


def _explain(one: Measured, tenant: Tenant) -> None:
    """Print the plan of the page's slowest query, made under the planner's settings the page made it under."""
    from django.db import connection, transaction

    from tenants.context import entered

    slowest = max(one.queries, key=lambda query: float(query["time"]))
    with entered(tenant), transaction.atomic(), connection.cursor() as cursor:
        for query in one.queries[: one.queries.index(slowest)]:
            if query["sql"].startswith("SET LOCAL"):
                cursor.execute(query["sql"])
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {slowest['sql']}".replace("%", "%%"), [])
        plan = [row[0] for row in cursor.fetchall()]
    print(f"  “{one.page.name}” ({one.page.path}), p95 {one.window.p95:.0f} ms; its slowest query:", flush=True)
    print("\n".join(f"    {line}" for line in [slowest["sql"], *plan]), flush=True)
