"""What must hold for every file, whatever is in its cells."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.imports import chunks
from crm.imports.defusing import defuse, undo_defusing
from crm.imports.errors import FileError
from crm.imports.exporting import export_csv, ids_of
from crm.imports.mapping import guess_header_row, guess_mapping, key_for, mapping_faults, normalise
from crm.imports.services import running
from crm.imports.sniffing import Sniffer, decode_sample, guess_delimiter
from crm.imports.tests.factories import carry_out, csv_bytes, undo, upload
from crm.models import Contact
from tenants.models import Tenant

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
CELL = TEXT | st.sampled_from(
    ["=1+1", "'=x", "+15550100", "-", "ann@example.com", "ANN@example.com", '"', "a;b|c", "\\N", "x" * 300]
)
HEADER = ("Name", "Business", "E-mail", "Phone", "City", "Tags", "Notes", "Status", "Value")
ROW = st.tuples(
    st.sampled_from(["Ann", "Ben", "ann "]) | CELL,
    st.sampled_from(["", "Acme"]) | CELL,
    st.sampled_from(["", "ann@example.com", "ben@example.com"]) | CELL,
    st.sampled_from(["", "+15550100", "mobile: +15550101; +15550100"]) | CELL,
    CELL,
    CELL,
    CELL,
    st.sampled_from(["", "customer", "Closed Won"]) | TEXT,
    st.sampled_from(["", "1,234.5", "-3"]) | TEXT,
)
ROWS = st.lists(ROW, min_size=1, max_size=8)
MODES = st.sampled_from(["skip", "update", "create"])


class _RollBack(Exception):
    pass


class emptied:
    """Every example starts from the same empty tenant."""

    def __enter__(self) -> None:
        self._atomic = transaction.atomic()
        self._atomic.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._atomic.__exit__(kind or _RollBack, error or _RollBack(), trace)


# No deadline: machines differ. No database of examples: a failure is turned into a test of its own.
plainly = settings(deadline=None, database=None)
with_database = settings(plainly, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@with_database
@given(rows=ROWS, mode=MODES, size=st.integers(1, 4))
def test_every_row_is_counted_once_and_undo_leaves_nothing(in_alice: Tenant, rows: Any, mode: str, size: int) -> None:
    with emptied(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "ROWS", size)
        try:
            record = upload(csv_bytes([HEADER, *rows]))
        except FileError:
            return  # such as one whose rows are all empty
        record = carry_out(record, mode)

        assert record.state == "done", record.error
        filled = [row for row in rows if any(cell.strip("\0 \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0") for cell in row)]
        assert sum(record.counts.values()) == record.total <= len(rows) and len(filled) <= len(rows)
        assert Contact.objects.live().count() == record.created
        assert record.bad_rows.count() == record.bad
        for contact in Contact.objects.all():
            contact.full_clean(exclude=["created_by", "owner"])
        if record.can_be_undone:
            assert undo(record).kept == 0
            assert not Contact.objects.live().exists()


@with_database
@given(rows=ROWS)
def test_where_a_file_is_cut_makes_no_difference(in_alice: Tenant, rows: Any) -> None:
    found = []
    for size in (1, 3, 100):
        with emptied(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "ROWS", size)
            try:
                record = carry_out(upload(csv_bytes([HEADER, *rows])), "update")
            except FileError:
                return
            names = ("contact_name", "business_name", "contact_email", "phones", "city", "tags", "notes", "status", "value")
            found.append((record.counts, list(Contact.objects.order_by("id").values_list(*names))))

    assert found[0] == found[1] == found[2]


@with_database
@given(rows=ROWS)
def test_an_export_is_imported_as_unchanged(in_alice: Tenant, rows: Any) -> None:
    with emptied():
        try:
            first = carry_out(upload(csv_bytes([HEADER, *rows])), "create")
        except FileError:
            return
        if not first.created:
            return

        again = carry_out(upload(b"".join(export_csv(ids_of(Contact.objects.all())))), "update")

        assert {name: count for name, count in again.counts.items() if count} == {"unchanged": first.created}


@plainly
@given(CELL)
def test_what_is_defused_comes_back(text: str) -> None:
    written = defuse(text)

    assert undo_defusing(written) == text
    if written[:1] in tuple("=@\t\r\n") and written:
        raise AssertionError(f"{written!r} begins like a formula")
    if written[:1] in ("+", "-"):
        assert not any(character.isalpha() or character in "=|!(" for character in written)


@plainly
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    sniffer = Sniffer()
    try:
        sniffer.feed(data)
        sniffer.kind()
    except FileError as error:
        assert str(error).endswith(".")
        return
    text = decode_sample(sniffer.sample, sniffer.encoding())
    assert guess_delimiter(text) in (",", ";", "\t", "|")


@plainly
@given(st.lists(st.lists(TEXT, min_size=2, max_size=5), min_size=1, max_size=10), st.sampled_from([",", ";", "\t", "|"]))
def test_any_headers_get_a_mapping_without_faults_but_the_missing_name(rows: Any, delimiter: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    number = guess_header_row(rows, [], {})
    mapping = [guess.target for guess in guess_mapping(rows[0], [], {})]

    assert number is None or 1 <= number <= len(rows)
    assert len(mapping_faults(mapping, rows[0], [])) <= 2
    assert all(normalise(normalise(cell)) == normalise(cell) for cell in rows[0])


@plainly
@given(TEXT, st.sets(st.sampled_from(["field", "a", "b_2"])))
def test_any_header_makes_a_key(label: str, taken: set[str]) -> None:
    key = key_for(label, taken)

    assert key not in taken and len(key) <= 40
    assert key[0].isascii() and key[0].isalpha() and key.replace("_", "a").isalnum()


def test_chunks_are_small_enough_for_a_live_bar() -> None:
    assert chunks.ROWS <= 5_000
