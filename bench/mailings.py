"""E-mail to many through the stand-in for SendGrid: a personalised template, as few requests as its limits permit.

First a page is looked at while nothing else happens, then while the product's own workers send a mailing and take in
the events of it. Then the same mailing is sent by a process of its own, events switched off: its requests, wall time,
CPU time and memory, against one request for each recipient, which is measured on fewer of them and said so. CPU time is
that of the process that sends and of the one it renders in; the stand-in's and the database's is not in it.
`BENCH_MAIL` makes it smaller, for a quick look.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from bench import imports
from bench.children import FLAT_MB, Done, Meter, in_child
from bench.cpu import on_a_core_of_its_own
from bench.population import Maker
from bench.product import Product
from bench.report import Result, percentile

if TYPE_CHECKING:
    from django.test import Client

    from crm.email.models import Mailing
    from tenants.models import Tenant

MAIL = int(os.environ.get("BENCH_MAIL", "50000"))
FEW = MAIL // 10  # whose memory is compared
SAMPLE = min(MAIL, 5_000)  # one request for each of them
DOMAIN = "mailings.localhost"
PAGE = "/crm/contacts/"
IDLE_S = 10.0
REQUESTS = 60 / 50_000  # what a recipient may cost of one
SETTLE_S = 300.0
ALL_OF_THEM = 1_000_000_000
TOGETHER, ALONE = "together", "alone"

SUBJECT = "{{ contact_name }}, news for {{ business_name }}"
HTML = """<h1>Dear {{ contact_name }},</h1>
<p>we have written to {{ business_name }} in {{ city }} before, and have news for you.</p>
{% if employees %}<p>For businesses with {{ employees }} people or fewer the price stays what it was.</p>{% endif %}
<p>Everything else stays as it is: the opening hours, the people you talk to, and how to reach us. Whoever would like to
know more answers this e-mail, or calls; we are glad to help, and take the time that is needed for it.</p>
<p>{{ organization_name }}</p>
<p><a href="{{ unsubscribe_url }}">No more e-mail</a></p>
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking at a page again and again took, in milliseconds."""

    idle: list[float]
    busy: list[float]
    mailing_s: float


def run(product: Product) -> list[Result]:
    tenant = _make_tenant(product)
    schema = str(tenant.schema_name)
    print("  looking at a page while a mailing is sent …", flush=True)
    looked = _look_while_sending(product, tenant)
    _settle(tenant)
    print("  sending, together and one by one …", flush=True)
    with _quiet(product), on_a_core_of_its_own():
        _order("trouble", lose=ALL_OF_THEM)
        in_child(carry_out, schema, str(min(MAIL, 200)), TOGETHER)  # whatever is slow the first time only
        few, _ = _sent(schema, FEW, TOGETHER)
        many, asked = _sent(schema, MAIL, TOGETHER)
        alone, asked_alone = _sent(schema, SAMPLE, ALONE)
        _order("trouble", lose=0)
    return [*_results(many, asked, alone, asked_alone), *_memory(few, many), *_pages(looked)]


def _results(many: Done, asked: int, alone: Done, asked_alone: int) -> list[Result]:
    cpu_ms, alone_ms = (done.cpu["send"] / done.rows * 1e6 for done in (many, alone))
    wall_s, alone_s = (done.seconds["send"] / done.rows for done in (many, alone))
    scaled = f"measured on {alone.rows:,} in {asked_alone:,} requests"
    return [
        Result("mailings", f"requests for {many.rows:,} recipients", asked, "", REQUESTS * many.rows),
        Result("mailings", "preparing", many.rate("prepare"), "recipients/s"),
        Result("mailings", "sending", many.rate("send"), "recipients/s", note=f"{many.seconds['send']:.1f} s in all"),
        Result("mailings", "CPU time of 1,000 messages", cpu_ms, "ms"),
        Result("mailings", "the same, one request for each", alone_ms, "ms", note=scaled),
        Result("mailings", "CPU time of that, as a multiple", alone_ms / cpu_ms, "×", 10.0, ">="),
        Result("mailings", "wall time of that, as a multiple", alone_s / wall_s, "×", note=scaled),
    ]


def _memory(few: Done, many: Done) -> list[Result]:
    grown = many.grown_mb - few.grown_mb
    return [
        Result("mailings", f"memory at its peak, {few.rows:,}", few.grown_mb, "MB", note="over an idle process; both"),
        Result("mailings", f"memory at its peak, {many.rows:,}", many.grown_mb, "MB"),
        Result("mailings", "memory for ten times the recipients", grown, "MB more", FLAT_MB),
    ]


def _pages(looked: Looked) -> list[Result]:
    idle, busy = looked.idle, looked.busy
    ran = f"{len(busy)} looks, the mailing took {looked.mailing_s:.0f} s; its workers and the database share a core"
    return [
        Result("mailings", "contact list, idle, p50", percentile(idle, 0.5), "ms", note=f"{len(idle)} looks"),
        Result("mailings", "contact list, while it runs, p50", percentile(busy, 0.5), "ms", note=ran),
        Result("mailings", "contact list, idle, p95", percentile(idle, 0.95), "ms"),
        Result("mailings", "contact list, while it runs, p95", percentile(busy, 0.95), "ms"),
        Result(
            "mailings",
            "contact list's p50 while it runs, as a multiple",
            percentile(busy, 0.5) / percentile(idle, 0.5),
            "×",
            1.5,
        ),
    ]


# --- the scene -------------------------------------------------------------------------------------------------------


def _make_tenant(product: Product) -> Tenant:
    """An organisation with contacts of different addresses and a template that is different for each of them."""
    from crm.email.models import EmailSettings
    from crm.email.services.templates import save_template
    from crm.models import CustomField
    from crm.services.fields import index_field
    from tenants.context import entered
    from tenants.services.tenants import create_tenant

    path = product.state_dir / "bench-mailings.csv"
    imports.write_file(path, Maker(random.Random(12), 1, []), MAIL)
    tenant = create_tenant(name="Bench", domain=DOMAIN, admin_email="mail@bench.localhost", admin_password="bench-4-bench")
    with entered(tenant):
        index_field(field=CustomField.objects.create(key=imports.EMPLOYEES, label="Employees", type="number"))
        EmailSettings.objects.update(messages_per_minute=ALL_OF_THEM)
        save_template(template=None, name="Bench", subject=SUBJECT, html=HTML, text="", is_active=True, by=None)
    with _quiet(product), on_a_core_of_its_own():
        in_child(imports.carry_out, str(tenant.schema_name), str(path))
    return tenant


def start(count: int) -> Mailing:
    """Start a mailing to the first `count` contacts of the entered tenant."""
    from crm.email.models import EmailTemplate
    from crm.email.services.mailings import change_mailing, create_mailing, start_mailing
    from crm.models import Contact

    ids = list(Contact.objects.live().order_by("pk").values_list("pk", flat=True)[:count])
    template = EmailTemplate.objects.get(name="Bench")
    whole = len(ids) == MAIL
    mailing = create_mailing(name="Bench", template=template, contact_ids=None if whole else ids, by=None)
    mailing = change_mailing(mailing=mailing, skip_empty_values=False)
    return start_mailing(mailing=mailing, when="now", by=None)


def _stand_in() -> str:
    from django.conf import settings

    return f"{settings.ENV.sandbox_url}/sandbox/mail"


def _order(what: str, **values: Any) -> None:
    requests.post(f"{_stand_in()}/{what}", json=values, timeout=10).raise_for_status()


def _counts() -> dict[str, Any]:
    return requests.get(f"{_stand_in()}/counts", timeout=10).json()  # type: ignore[no-any-return]


# --- the runs --------------------------------------------------------------------------------------------------------


def carry_out(meter: Meter, schema: str, count: str, how: str) -> int:
    """Send a mailing as two tasks do, in a process of its own."""
    from django.conf import settings

    from crm.email.services.preparing import prepare_mailing
    from crm.email.services.sending import send_mailing
    from tenants.context import entered
    from tenants.models import Tenant

    settings.ENV.sendgrid_substitutions = how == TOGETHER
    with entered(Tenant.objects.get(schema_name=schema)):
        mailing = start(int(count))
        with meter.timed("prepare"):
            while prepare_mailing(mailing_id=mailing.pk):
                pass
        with meter.timed("send"):
            while send_mailing(mailing_id=mailing.pk) is not None:
                pass
        mailing.refresh_from_db()
        if mailing.state != "done":
            raise RuntimeError(f"the mailing is {mailing.state}: {mailing.error}")
    return int(count)


def _sent(schema: str, count: int, how: str) -> tuple[Done, int]:
    """Return what sending took, and how many requests were made. Each recipient must have been asked for once."""
    before = _counts()
    done = in_child(carry_out, schema, str(count), how)
    after = _counts()
    if after["recipients"] - before["recipients"] != count or set(after["answers"]) != {"202"}:
        raise RuntimeError(f"the stand-in saw something else: {before} {after}")
    return done, after["accepted"] - before["accepted"]


def _look_while_sending(product: Product, tenant: Tenant) -> Looked:
    from tenants.context import entered

    session = requests.Session()
    session.headers["Host"] = DOMAIN
    session.cookies["sessionid"] = _sign_in(tenant)
    for _ in range(20):
        _look(session, product)
    idle, until = [], time.perf_counter() + IDLE_S
    while time.perf_counter() < until:
        idle.append(_look(session, product))
    begun, busy = time.perf_counter(), []
    with entered(tenant):
        mailing = start(MAIL)
    while True:
        busy.append(_look(session, product))
        with entered(tenant):
            mailing.refresh_from_db(fields=["state", "error"])
        if mailing.state not in ("preparing", "sending"):
            break
    if mailing.state != "done":
        raise RuntimeError(f"the mailing is {mailing.state}: {mailing.error}")
    return Looked(idle, busy, time.perf_counter() - begun)


def _sign_in(tenant: Tenant) -> str:
    from django.conf import settings
    from django.test import Client

    from tenants.models import User

    client: Client = Client(headers={"host": DOMAIN})
    client.force_login(User.objects.get(email="mail@bench.localhost"))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _look(session: requests.Session, product: Product) -> float:
    """Return in how many milliseconds the page came. A pause after it: people read."""
    begun = time.perf_counter()
    answer = session.get(product.url + PAGE, timeout=30, allow_redirects=False)
    took_ms = (time.perf_counter() - begun) * 1000
    if answer.status_code != 200:
        raise RuntimeError(f"{PAGE} answered {answer.status_code}: {answer.text[:300]}")
    time.sleep(0.02)
    return took_ms


def _settle(tenant: Tenant) -> None:
    """Wait until all that follows from what was sent has been done, so that it is no part of what is measured next."""
    from crm.email.models import EmailEvent, SendBatch
    from tenants.context import entered

    until = time.perf_counter() + SETTLE_S
    while time.perf_counter() < until:
        with entered(tenant):
            known = EmailEvent.objects.count()
            rest = EmailEvent.objects.filter(applied_at=None).exists() or SendBatch.objects.filter(logged_at=None).exists()
        if known >= 2 * MAIL and not rest:
            return
        time.sleep(0.5)
    print(f"  {known:,} of {2 * MAIL:,} events were taken in within {SETTLE_S:.0f} s", flush=True)


@contextmanager
def _quiet(product: Product) -> Iterator[None]:
    """The workers are paused, and not in the middle of a transaction: whoever waited for it would wait for ever."""
    for _ in range(100):
        with product.worker_paused():
            if not _transactions():
                yield
                return
        time.sleep(0.3)
    raise RuntimeError("the workers are never without work")


def _transactions() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])
