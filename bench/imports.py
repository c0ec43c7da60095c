"""Importing a file of contacts, against django-import-export on the same file and COPY of the rows it ends in.

Every run has an organisation of its own, in which some thousand other contacts are already: duplicates are looked for
among them. What is compared with others is the writing, duplicates looked for; the dry run before it stands beside it.
`BENCH_IMPORT` makes the file smaller, for a quick look.
"""

from __future__ import annotations

import csv
import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench import rival
from bench.children import FLAT_MB, Done, Meter, in_child
from bench.cpu import on_a_core_of_its_own
from bench.population import SOURCES, STATUSES, TAGS, Maker
from bench.product import Product
from bench.report import Result

if TYPE_CHECKING:
    from crm.imports.models import ContactImport
    from tenants.models import Tenant

ROWS = int(os.environ.get("BENCH_IMPORT", "100000"))
FEW, MANY = ROWS // 5, ROWS * 2  # whose memory is compared
THERE = 5_000  # contacts in the organisation before
RIVALS_ROWS = min(ROWS, 5_000)
ROUNDS = 2
BLOCK = 64 * 1024
HEADER = ["Name", "Business", "E-mail", "Phone", "Role", "City", "State", "Postal code", "Country"]
HEADER += ["Status", "Value", "Source", "Tags", "Website", "Notes", "Employees"]
EMPLOYEES = "employees"  # a custom field


def run(product: Product) -> list[Result]:
    folder = product.state_dir / "bench-imports"
    folder.mkdir()
    counts = {count: folder / f"{count}.csv" for count in (ROWS, FEW, MANY, RIVALS_ROWS)}
    people = Maker(random.Random(11), 1, [])
    for count, path in counts.items():
        write_file(path, people, count)
    write_file(folder / "there.csv", people, THERE, prefix="there")
    with product.worker_paused(), on_a_core_of_its_own():
        ours, copied = _take_turns(folder, counts[ROWS])
        few, many = (in_child(carry_out, _organisation(folder), str(counts[count])) for count in (FEW, MANY))
        same = in_child(carry_out, _organisation(folder), str(counts[RIVALS_ROWS]))
        rivals = rival.measure(folder, counts[RIVALS_ROWS], lambda: _organisation(folder))
    best = max(ours, key=lambda done: done.rate("write"))
    return [*_results(best, min(copied)), *_memory(few, many), *_beside(same, rivals)]


def _take_turns(folder: Path, path: Path) -> tuple[list[Done], list[float]]:
    ours, copied = [], []
    for _ in range(ROUNDS):
        schema = _organisation(folder)
        ours.append(in_child(carry_out, schema, str(path)))
        copied.append(_copy(schema, _organisation(folder)))
    return ours, copied


def _results(best: Done, copy_s: float) -> list[Result]:
    rate, copy_rate = best.rate("write"), best.rows / copy_s
    whole = best.rate("upload", "check", "write")
    return [
        Result("imports", f"{best.rows:,} rows, duplicates looked for", rate, "rows/s", note=f"best of {ROUNDS}"),
        Result("imports", "the dry run before it", best.rate("check"), "rows/s"),
        Result("imports", "uploading, dry run and import together", whole, "rows/s"),
        Result("imports", "COPY of the same rows into the same table", copy_rate, "rows/s", note=f"best of {ROUNDS}"),
        Result("imports", "import, as a share of COPY", rate / copy_rate, "", 0.25, ">="),
    ]


def _memory(few: Done, many: Done) -> list[Result]:
    return [
        Result("imports", f"memory at its peak, {few.rows:,} rows", few.grown_mb, "MB", note="more than an idle process"),
        Result("imports", f"memory at its peak, {many.rows:,} rows", many.grown_mb, "MB"),
        Result("imports", "memory for ten times the rows", many.grown_mb - few.grown_mb, "MB more", FLAT_MB),
    ]


def _beside(same: Done, rivals: dict[str, Done] | str) -> list[Result]:
    if isinstance(rivals, str):
        return [Result("imports", "django-import-export on the same file", None, "rows/s", note=rivals)]
    rate = same.rate("write")  # the more rows there are, the slower any of them is: the same ones are compared
    found = [Result("imports", f"the first {same.rows:,} rows, duplicates looked for", rate, "rows/s")]
    for name, done in rivals.items():
        theirs = done.rate("write")
        found.append(Result("imports", f"django-import-export, {name}", theirs, "rows/s", note="the same rows"))
        target = 20.0 if name == rival.BULK else None
        found.append(Result("imports", "import, as a multiple of that", rate / theirs, "×", target, ">="))
    return found


# --- the scene -------------------------------------------------------------------------------------------------------


def write_file(path: Path, people: Maker, count: int, prefix: str = "person") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(_rows(people, count, prefix))


def _rows(people: Maker, count: int, prefix: str) -> Iterator[list[str]]:
    """Yield that many different people, none of them with anybody else's address, number, or name in a business."""
    chance = random.Random(prefix)
    area = 555 if prefix == "person" else 556
    for number in range(count):
        family, rank = chance.choice(people.family), chance.randrange(len(people.cities))
        some = chance.random
        yield [
            f"{chance.choice(people.given)} {family}",
            f"{family} {prefix} {number}",
            f"{prefix}{number}@example.com",
            f"+1 {area} {number // 10_000:03}-{number % 10_000:04}",
            "Manager" if some() < 0.2 else "",
            people.cities[rank],
            people.states[rank % 50],
            str(10_000 + rank),
            "United States",
            chance.choice(list(STATUSES)),
            f"{some() * 20_000:.2f}" if some() < 0.4 else "",
            chance.choice(SOURCES),
            ", ".join(chance.sample(TAGS, chance.randint(0, 3))),
            f"https://{family.lower()}.example.com" if some() < 0.4 else "",
            chance.choice(people.notes) if some() < 0.4 else "",
            str(chance.randint(1, 500)) if some() < 0.6 else "",
        ]


def _organisation(folder: Path) -> str:
    """Make a tenant with some contacts and a custom field; return its schema."""
    from django.db import connection

    from crm.models import CustomField
    from crm.services.fields import index_field
    from tenants.context import entered
    from tenants.services.tenants import create_tenant

    domain = f"import-{uuid.uuid4().hex[:12]}.localhost"
    tenant: Tenant = create_tenant(name="Bench", domain=domain, admin_email="bench@bench.localhost")
    with entered(tenant):
        index_field(field=CustomField.objects.create(key=EMPLOYEES, label="Employees", type="number"))
        _import(folder / "there.csv")
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) crm_contact")
    return str(tenant.schema_name)


# --- the runs --------------------------------------------------------------------------------------------------------


def carry_out(meter: Meter, schema: str, path: str) -> int:
    """Import a file as a person and two tasks do, in a process of its own."""
    from tenants.context import entered_schema

    with entered_schema(schema):
        return _import(Path(path), meter).created


def _import(path: Path, meter: Meter | None = None) -> ContactImport:
    from crm.imports.services.checking import check_import
    from crm.imports.services.running import run_import, start_import
    from crm.imports.services.uploading import choose_columns, upload_import

    meter = meter or Meter()
    with meter.timed("upload"), path.open("rb") as file:
        record = upload_import(chunks=iter(lambda: file.read(BLOCK), b""), name=path.name, by=None)
    choose_columns(record=record, mapping=record.mapping)
    with meter.timed("check"):
        check_import(import_id=record.pk)
    record.refresh_from_db()
    if record.state != "ready":
        raise RuntimeError(f"the import is {record.state} after its check: {record.error}")
    start_import(record=record, on_duplicate="skip")
    with meter.timed("write"):
        run_import(import_id=record.pk, slice_s=3600)
    record.refresh_from_db()
    if not all(record.mapping) or record.state != "done" or record.created != record.total:
        raise RuntimeError(f"the import did something else: {record.state} {record.mapping} {record.counts}")
    return record


def _copy(source: str, target: str) -> float:
    """Write what an import wrote once more, into another organisation. Returns seconds."""
    from django.db import connection

    from crm.imports.models import ContactImport
    from crm.models import Contact
    from tenants.context import entered_schema

    names = [str(field.column) for field in Contact._meta.concrete_fields if not field.generated and field.column != "id"]
    columns = ", ".join(names)
    with entered_schema(source), connection.cursor() as cursor:
        imported = ContactImport.objects.latest("pk").pk
        chosen = f"SELECT {columns} FROM crm_contact WHERE import_id = {imported} ORDER BY id"
        with cursor.copy(f"COPY ({chosen}) TO STDOUT") as out:
            lines = [bytes(line) for line in out]
    # In blocks of many rows, as a file would be read.
    blocks = [b"".join(lines[begin : begin + 2_000]) for begin in range(0, len(lines), 2_000)]
    with entered_schema(target), connection.cursor() as cursor:
        begun = time.perf_counter()
        with cursor.copy(f"COPY crm_contact ({columns}) FROM STDIN") as into:
            for block in blocks:
                into.write(block)
        return time.perf_counter() - begun
