"""Custom fields and filters: what goes in comes out, for every type and for values nobody thought of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from crm.enums import FieldType
from crm.fieldtypes import FieldError, Reading, form_field, parse, to_text
from crm.filters import ContactFilter, clean_query, parse_filter
from crm.folding import fold
from crm.models import Contact, CustomField
from crm.phones import PhoneError, to_e164
from crm.selectors.contacts import contacts_for, filter_contacts, page_of_contacts
from crm.selectors.suggestions import distinct_values
from crm.services.fields import INDEXING, change_field, effect_of, fields_without_index, index_field, index_name, save_field
from crm.tests.factories import make_contact


@dataclass
class Definition:
    type: str
    key: str = "x"
    label: str = "X"
    options: list[str] = field(default_factory=lambda: ["Red", "Green, light", "Blue"])


@pytest.mark.parametrize(
    ("kind", "raw", "kept", "text"),
    [
        ("text", "  hi ", "hi", "hi"),
        ("number", "1,234.50", 1234.5, "1234.5"),
        ("number", "1.234,50", 1234.5, "1234.5"),
        ("number", "1,234,567", 1234567, "1234567"),
        ("number", 1.234, 1.234, "1.2340"),
        ("money", "1,234", "1234.00", "1234.00"),
        ("number", "3,5", 3.5, "3.5"),
        ("number", "-7", -7, "-7"),
        ("money", "€ 1 234,5", "1234.50", "1234.50"),
        ("date", "20.11.2026", "2026-11-20", "2026-11-20"),
        ("date", datetime(2026, 11, 20, 5), "2026-11-20", "2026-11-20"),
        ("date_time", "2026-11-20 10:00", "2026-11-20T09:00:00+00:00", "2026-11-20 10:00"),
        ("email", "a@example.com", "a@example.com", "a@example.com"),
        ("phone", "+1 (555) 010-0100", "+15550100100", "+15550100100"),
        ("url", "example.com/x", "https://example.com/x", "https://example.com/x"),
        ("select", "red", "Red", "Red"),
        ("multi_select", "blue; RED", ["Red", "Blue"], "Red; Blue"),
        ("multi_select", "Green, light", ["Green, light"], "Green, light"),
        ("boolean", "Ja", True, "yes"),
        ("boolean", "0", False, "no"),
        ("text", "   ", None, ""),
    ],
)
def test_values_are_read_kept_and_shown(kind, raw, kept, text):
    zone = ZoneInfo("Europe/Berlin")
    assert parse(Definition(kind), raw, Reading(zone=zone)) == kept
    assert to_text(Definition(kind), kept, zone) == text


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("number", "many"),
        ("number", "1,234"),
        ("date", "03/04/1991"),
        ("number", "1e999"),
        ("number", True),
        ("money", "NaN"),
        ("date", "31.02.2026"),
        ("date_time", "soon"),
        ("email", "a@b"),
        ("phone", "555"),
        ("url", "ftp://x.com"),
        ("url", "http://[x"),
        ("select", "pink"),
        ("multi_select", "Red; pink"),
        ("multi_select", {"a": 1}),
        ("boolean", "perhaps"),
        ("text", "x" * 501),
        ("text", {"a": 1}),
    ],
)
def test_what_does_not_fit_is_explained(kind, raw):
    with pytest.raises(FieldError):
        parse(Definition(kind), raw)


@given(st.sampled_from(list(FieldType)), st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text()))
def test_any_value_is_kept_as_it_reads_back_or_refused(kind, raw):
    definition = Definition(kind)
    try:
        kept = parse(definition, raw)
    except FieldError:
        return
    if kept is not None:
        assert parse(definition, to_text(definition, kept) if kind != "multi_select" else kept) == kept


@pytest.mark.parametrize("kind", list(FieldType))
def test_every_type_has_a_form_field(kind):
    made = form_field(Definition(kind), required=True, help_text="Help")
    assert (made.label, made.help_text, made.required) == ("X", "Help", True)


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text)) == fold(text)


@given(
    st.dictionaries(
        st.sampled_from(["q", "status", "owner", "tag", "score_min", "created_from", "cf_x", "cf_x_min", "sort", "cursor"]),
        st.text(max_size=30),
        max_size=6,
    )
)
def test_any_address_is_understood_or_said_not_to_be(values):
    query = QueryDict(mutable=True)
    query.update(values)
    for kind in FieldType:
        chosen = parse_filter(query, [Definition(kind)])
        assert isinstance(chosen, ContactFilter)
    assert clean_query(QueryDict(clean_query(query))) == clean_query(query)


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [("0049 30 123456", "", "+4930123456"), ("030/123456", "DE", "+4930123456"), ("+1-555-0100", "", "+15550100")],
)
def test_numbers(text, region, number):
    assert to_e164(text, region) == number


@pytest.mark.parametrize("text", ["030 123456", "call me", "+0123", "", "+" + "1" * 20])
def test_what_is_no_number(text):
    with pytest.raises(PhoneError):
        to_e164(text)


# --- finding -----------------------------------------------------------------------------------------------------


def names(query: str, tenant, user=None) -> list[str]:
    found = contacts_for(QueryDict(query), tenant=tenant, user=user)
    return sorted(found.values_list("contact_name", flat=True))


@pytest.fixture
def people(in_alice, owner):
    size = CustomField.objects.create(key="size", label="Size", type="number")
    colours = CustomField.objects.create(key="colours", label="Colours", type="multi_select", options=["Red", "Blue"])
    vip = CustomField.objects.create(key="vip", label="VIP", type="boolean")
    day = CustomField.objects.create(key="day", label="Day", type="date")
    make_contact(
        "Ann",
        status="lead",
        city="Köln",
        tags=["a", "b"],
        source="web",
        owner=owner,
        score=5,
        custom_fields={"size": 7, "colours": ["Red"], "vip": True, "day": "2026-01-05"},
        phone="+15557001",
        contact_email="Ann@Example.com",
    )
    make_contact(
        "Bert",
        status="customer",
        city="Bonn",
        tags=["a"],
        source="fair",
        score=20,
        custom_fields={"size": 12, "colours": ["Red", "Blue"], "vip": False, "day": "2026-02-05"},
        business_name="Zoë & Söhne",
        last_interaction_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    make_contact("Cy", status="lead", state="Bavaria", open_task_count=1, notes="likes green tea", do_not_call=True)
    return size, colours, vip, day


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Ann", "Bert", "Cy"]),
        ("status=lead", ["Ann", "Cy"]),
        ("status=lead&status=customer", ["Ann", "Bert", "Cy"]),
        ("city=KÖLN", ["Ann"]),
        ("state=bavaria", ["Cy"]),
        ("owner=me", ["Ann"]),
        ("owner=none", ["Bert", "Cy"]),
        ("owner=me&owner=none", ["Ann", "Bert", "Cy"]),
        ("tag=a", ["Ann", "Bert"]),
        ("tag=a&tag=b", ["Ann"]),
        ("source=fair", ["Bert"]),
        ("score_min=6", ["Bert"]),
        ("score_max=6", ["Ann"]),
        ("quiet_since=2026-06-01", ["Ann", "Bert", "Cy"]),
        ("quiet_since=2025-06-01", ["Ann", "Cy"]),
        ("has_task=yes", ["Cy"]),
        ("has_task=no", ["Ann", "Bert"]),
        ("no_contact=yes", ["Cy"]),
        ("no_contact=no", ["Ann", "Bert"]),
        ("created_from=2000-01-01", ["Ann", "Bert", "Cy"]),
        ("created_to=2000-01-01", []),
        ("q=ann", ["Ann"]),
        ("q=koln", ["Ann"]),
        ("q=zoe soh", ["Bert"]),
        ("q=green", ["Cy"]),
        ("q=reen", []),
        ("q=ann@example.com", ["Ann"]),
        ("q=%2B1 555 7001", ["Ann"]),
        ("q=!!!", []),
        ("cf_size_min=8", ["Bert"]),
        ("cf_size_min=6&cf_size_max=8", ["Ann"]),
        ("cf_colours=Red", ["Ann", "Bert"]),
        ("cf_colours=Red&cf_colours=Blue", ["Bert"]),
        ("cf_vip=yes", ["Ann"]),
        ("cf_vip=no", ["Bert"]),
        ("cf_day_max=2026-01-31", ["Ann"]),
        ("status=lead&tag=a&cf_size_min=1", ["Ann"]),
        ("id=x&id=0", []),
    ],
)
def test_each_filter_finds_what_it_says(query, found, people, alice, owner):
    assert names(query, alice, owner) == found


def test_what_is_in_the_bin_is_not_found(people, alice):
    Contact.objects.filter(contact_name="Ann").update(deleted_at=datetime.now(UTC))
    assert names("status=lead", alice) == ["Cy"]


@pytest.mark.parametrize(
    "sort", ["-created", "created", "-updated", "name", "-name", "-touched", "touched", "-score", "score"]
)
def test_pages_join_up_in_every_order(sort, people, alice):
    for n in range(7):
        make_contact(f"More {n}", score=n if n % 2 else None)
    contacts = filter_contacts(ContactFilter(), tenant=alice, user=None)
    whole = [contact.pk for contact in page_of_contacts(contacts, sort=sort, size=50).contacts]

    paged, cursor = [], None
    while True:
        page = page_of_contacts(contacts, sort=sort, cursor=cursor, size=3)
        paged += [contact.pk for contact in page.contacts]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert len(whole) == 10 and paged == whole


def test_many_matches_are_counted_up_to_a_limit_and_read_in_order(people, alice, monkeypatch):
    monkeypatch.setattr("crm.selectors.contacts.COUNTED", 2)

    page = page_of_contacts(filter_contacts(ContactFilter(), tenant=alice, user=None), sort="name", size=2)

    assert (page.total, page.is_capped, [contact.contact_name for contact in page.contacts]) == (2, True, ["Ann", "Bert"])


def test_suggestions_step_down_the_index(in_alice, bob):
    for city in ("Bonn", "bonn", "Berlin", "Köln", "Bochum", ""):
        make_contact(city=city)
    assert distinct_values("city", "B") == ["Berlin", "Bochum", "Bonn"]
    assert distinct_values("city", "bo") == ["Bochum", "Bonn"]
    assert distinct_values("source") == []


# --- changing definitions ------------------------------------------------------------------------------------------


def test_a_changed_type_converts_what_it_can_and_says_what_it_cannot(in_alice):
    old = save_field(field=CustomField(key="age", label="Age", type="text"))
    for value in ("41", "7 1/2", "x"):
        make_contact(custom_fields={"age": value})
    make_contact(custom_fields={})
    new = CustomField.objects.get(pk=old.pk)
    new.type = "number"

    effect = effect_of(old=old, new=new)

    assert (effect.total, effect.kept, effect.converted, effect.lost, effect.examples) == (3, 0, 1, 2, ["7 1/2", "x"])
    assert CustomField.objects.get(pk=old.pk).type == "text"
    change_field(old=old, new=new)
    assert list(Contact.objects.order_by("pk").values_list("custom_fields", flat=True)) == [{"age": 41}, {}, {}, {}]


VALUES = {
    "number": ("i", "cf_f_min=399"),
    "money": ("i || '.00'", "cf_f_min=399"),
    "date": ("(date '2000-01-01' + i)::text", "cf_f_max=2000-01-02"),
    "date_time": ("(date '2000-01-01' + i) || 'T00:00:00+00:00'", "cf_f_max=2000-01-02"),
    "email": ("i || '@example.com'", "cf_f=7@example.com"),
    "phone": ("'+1555000' || i", "cf_f=%2B1555000399"),
    "url": ("'https://example.com/' || i", "cf_f=example.com/7"),
    "boolean": ("(i = 7)::text", "cf_f=yes"),
    "select": ("CASE WHEN i = 7 THEN 'S' ELSE 'M' END", "cf_f=S"),
    "multi_select": ("CASE WHEN i = 7 THEN 'S' ELSE 'M' END", "cf_f=S"),
    "text": ("'word ' || i", "cf_f=word 7"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_field_gets_an_index_its_filter_uses(kind, alice, in_alice):
    definition = CustomField.objects.create(key="f", label="F", type=kind, options=["S", "M"] if "select" in kind else [])
    value, query = VALUES[kind]
    stored = f"jsonb_build_array({value})" if kind == "multi_select" else f"to_jsonb({value})"
    make_contact()
    with connection.cursor() as cursor:
        copied = [name for name in _columns() if name not in ("id", "custom_fields")]
        cursor.execute(
            f"INSERT INTO crm_contact (custom_fields, {', '.join(copied)}) "
            f"SELECT jsonb_build_object('f', {stored}), {', '.join(copied)} FROM crm_contact, generate_series(1, 399) i"
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # an index is not made over checks that are still to come
    assert fields_without_index() == [definition.pk]
    for _ in range(2):
        assert index_field(field=definition, concurrently=False)
    assert fields_without_index() == []

    contacts = contacts_for(QueryDict(query), tenant=alice, user=None)

    assert contacts.count() == 1
    assert index_name(definition) in contacts.explain()


def _columns() -> list[str]:
    return [field.column for field in Contact._meta.concrete_fields if not field.generated]


def test_days_are_the_tenants_own(in_alice, alice):
    alice.time_zone = "Pacific/Auckland"
    make_contact("Early", created_at=datetime(2026, 1, 1, 11, 30, tzinfo=UTC))
    assert names("created_from=2026-01-02&created_to=2026-01-02", alice) == ["Early"]


def test_the_board_shows_the_same_of_few_and_of_many(in_alice, alice, monkeypatch):
    from crm.selectors.board import columns

    for n in range(9):
        make_contact(
            f"Name {n}", status=["lead", "customer", "lead"][n % 3], updated_at=datetime(2026, 1, n + 1, tzinfo=UTC)
        )
    contacts = filter_contacts(ContactFilter(), tenant=alice, user=None)

    def shown() -> dict[str, list[str]]:
        return {column.status.key: [contact.contact_name for contact in column.contacts] for column in columns(contacts)}

    few = shown()
    monkeypatch.setattr("crm.selectors.contacts.COUNTED", 3)
    many = shown()

    assert few["lead"] == ["Name 8", "Name 6", "Name 5", "Name 3", "Name 2", "Name 0"]
    assert few == many
    monkeypatch.setattr("crm.selectors.board.COUNTED", 2)
    assert [(column.total, column.is_capped) for column in columns(contacts)][0] == (2, True)


def test_two_indexes_are_not_made_at_once(in_alice):
    """Each would wait for the other's transaction to end."""
    import psycopg

    definition = CustomField.objects.create(key="f", label="F", type="text")
    settings = connection.settings_dict
    address = {"host": settings["HOST"], "user": settings["USER"] or None, "dbname": settings["NAME"]}
    with psycopg.connect(**address, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s), %s)", [in_alice.schema_name, INDEXING])
        assert index_field(field=definition, concurrently=False) is False
        assert fields_without_index() == [definition.pk]
        # Said aloud: a server lets go of a closed connection's locks a moment after the client has gone on.
        other.execute("SELECT pg_advisory_unlock_all()")
    assert index_field(field=definition, concurrently=False) is True
    assert fields_without_index() == []
