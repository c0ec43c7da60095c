"""Contacts are found in every script, by parts of what is encrypted, and by numbers wherever they stand."""

from __future__ import annotations

import pytest
from django.db import connection
from django.http import QueryDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base import words
from crm.blindparts import address_parts, email_parts, phone_indexes
from crm.models import Contact, CrmSettings
from crm.selectors.contacts import contacts_for
from crm.services.contacts import create_contact, find_duplicates, update_contact
from crm.services.reindexing import index_parts
from crm.tasks import sweep_jobs
from crm.tests.factories import make_contact
from tenants.context import entered

SCRIPTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cn", "Co", "Cs"), exclude_characters="\x00", max_codepoint=0x2FFFF)
    | st.sampled_from(list("áßŁĐØÆÞŞİışҐЁёΆςάعَـىیकि़नमสวัสดีกำ退款東京가나ｱ々゙が１²½ﬁ'-_. ")),
    max_size=30,
)
GIVEN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def found(text: str, tenant) -> list[str]:
    query = QueryDict(mutable=True)
    query["q"] = text
    return sorted(contacts_for(query, tenant=tenant, user=None).values_list("contact_name", flat=True))


def in_database(function: str, *values: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT public.{function}({', '.join(['%s'] * len(values))})", values)
        return cursor.fetchone()[0]


@GIVEN
@given(text=SCRIPTS)
def test_the_database_folds_and_cuts_words_as_python_does(text, in_alice):
    assert in_database("crm_fold", text) == words.fold(text)
    assert set(in_database("crm_words", text, True)) == set(words.index_words(text))
    assert set(in_database("crm_words", text, False)) == set(words.query_words(text))


def test_every_letter_folds_in_the_database_as_in_python(in_alice):
    import unicodedata

    letters = [chr(code) for code in range(0x20, 0x30000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    with connection.cursor() as cursor:
        cursor.execute("SELECT letter, public.crm_fold(letter) FROM unnest(%s::text[]) AS letter", [letters])
        rows = cursor.fetchall()

    assert [(letter, folded) for letter, folded in rows if folded != words.fold(letter)] == []


@GIVEN
@given(text=SCRIPTS, data=st.data())
def test_the_beginning_of_any_stored_word_finds_it(text, data, in_alice):
    known = in_database("crm_words", text, True)
    if not known:
        return
    word = data.draw(st.sampled_from(known))
    beginning = word[: data.draw(st.integers(1, len(word)))]
    if not words.query_words(beginning):
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_to_tsvector(public.crm_words(%s, true)) @@ public.crm_query(%s)", [text, word])
        assert cursor.fetchone()[0]
        if not words.is_unspaced(word):
            cursor.execute(
                "SELECT array_to_tsvector(public.crm_words(%s, true)) @@ public.crm_query(%s)", [text, beginning]
            )
            assert cursor.fetchone()[0] or words.fold(beginning) != beginning


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("Nguyễn Thị Hạnh", ["Nguyen", "nguyen thi", "HANH", "Nguyễn"]),
        ("Ștefan Țepeș", ["Stefan", "Tepes", "ştefan", "S\u0326tefan"]),
        ("Jörg Strauß", ["Strauss", "strauß", "STRAUẞ", "jorg", "Jo\u0308rg"]),
        ("Αλέξανδρος Παπαδόπουλος", ["Αλεξανδρος", "ΠΑΠΑΔΟΠΟΥΛΟΣ", "παπαδοπουλος"]),
        ("Лёша Ёлкин", ["Елкин", "Леша", "ЁЛКИН"]),
        ("ÉMILIE ŞAHİN", ["sahin", "ŞAHİN", "Şahin", "emilie"]),
        ("Łukasz Żółć", ["Lukasz", "zolc"]),
        ("Kjær Ærø", ["Kjaer", "Aero", "kjær"]),
        ("Þór Guðmundsson", ["Thor", "Gudmundsson", "gudm"]),
        ("王小明", ["王", "小明", "王小明", "明"]),
        ("山田 太郎", ["山", "太郎", "山田太郎"[:2]]),
        ("김철수", ["김", "철수"]),
        ("สมชาย ใจดี", ["สมชาย", "ใจดี"]),
        ("सीता देवी", ["सीता", "देवी"]),
        ("محمّد علي", ["محمد", "علي", "على"]),
        ("Fiona O'Neil", ["O'Neil", "O’Neil", "oneil"[:1], "neil"]),
        ("Paul D’Arcy", ["D'Arcy", "arcy"]),
        ("José García", ["José García", "garcia", "Jose\u0301"]),
        ("ＡＣＭＥ Ｌｔｄ", ["acme", "ltd"]),
    ],
)
def test_names_are_found_as_people_write_them(name, queries, alice, in_alice, bob):
    with entered(bob):
        make_contact(name)
    make_contact(name)
    make_contact("Somebody Else Entirely")

    for query in queries:
        assert name in found(query, alice), query
        assert found(query, alice).count(name) == 1


@pytest.fixture
def people(in_alice, bob):
    values = {
        "contact_name": "Fiona",
        "phones": [{"label": "", "number": "+441865555010"}],
        "contact_email": "fiona@find.example",
        "notes": "order 20261234 delivered",
        "postal_code": "OX1 2JD",
        "city": "Oxford",
        "website": "https://www.bücher.example/shop",
    }
    with entered(bob):
        create_contact(values=values, by=None)
    create_contact(values=values, by=None)
    paul = {
        "contact_name": "Paul",
        "phones": [{"label": "", "number": "+15035550188"}],
        "contact_email": "paul.darcy+news@mail.find.example",
        "notes": "invoice INV-20269999",
        "postal_code": "97477",
        "address": "12 Elm St",
    }
    create_contact(values=paul, by=None)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("0188", ["Paul"]),
        ("555-0188", ["Paul"]),
        ("(503) 555-0188", ["Paul"]),
        ("+15035550188", ["Paul"]),
        ("01865 555010", ["Fiona"]),
        ("+44 (0)1865 555010", ["Fiona"]),
        ("5010", ["Fiona"]),
        ("fiona@", ["Fiona"]),
        ("fio@", ["Fiona"]),
        ("darcy@", ["Paul"]),
        ("fiona@find.example", ["Fiona"]),
        ("FIONA@FIND.EXAMPLE", ["Fiona"]),
        ("find.example", ["Fiona", "Paul"]),
        ("@mail.find.example", ["Paul"]),
        ("fiona@mail.find.example", []),
        ("bücher.example", ["Fiona"]),
        ("bucher", ["Fiona"]),
        ("20261234", ["Fiona"]),
        ("20269999", ["Paul"]),
        ("INV-2026", ["Paul"]),
        ("97477", ["Paul"]),
        ("9747", ["Paul"]),
        ("OX1 2JD", ["Fiona"]),
        ("ox12jd", ["Fiona"]),
        ("Elm", ["Paul"]),
        ("elm 12", ["Paul"]),
        ("lm", []),
        ("018", []),
        ("@", []),
        ("...", []),
        ("+", []),
    ],
)
def test_parts_of_what_is_encrypted_and_numbers_anywhere_are_found(query, names, people, alice):
    CrmSettings.objects.update(phone_region="US")

    assert found(query, alice) == names


@GIVEN
@given(text=st.text(max_size=60) | st.from_regex(r"[0-9@.+ '\\:|&!()-]{0,20}", fullmatch=True))
def test_any_search_is_answered(text, people, alice):
    found(text, alice)


def test_a_changed_number_is_found_by_its_new_digits_only(people, alice):
    contact = Contact.objects.get(contact_name="Paul")
    update_contact(
        contact=contact,
        values={
            "phones": [{"label": "", "number": "+15035559999"}],
            "address": "1 Oak Ave",
            "contact_email": "p@x.example",
        },
    )

    assert [found(query, alice) for query in ("9999", "0188", "oak", "elm", "x.example", "darcy@")] == [
        ["Paul"],
        [],
        ["Paul"],
        [],
        ["Paul"],
        [],
    ]


def test_contacts_from_before_are_indexed_piece_by_piece(people, alice):
    Contact.objects.update(phone_indexes=[], email_parts=[], address_parts=[], parts_version=0)
    assert found("0188", alice) == found("elm", alice) == []

    assert index_parts(limit=1)
    while index_parts(limit=1):
        pass

    assert found("0188", alice) == found("elm", alice) == ["Paul"]
    assert found("find.example", alice) == ["Fiona", "Paul"]
    assert not Contact.objects.filter(parts_version=0).exists()


def test_the_sweep_begins_the_indexing(people, alice, monkeypatch):
    published = []
    monkeypatch.setattr("crm.tasks.publish", lambda task, **options: published.append(task.name))
    sweep_jobs()
    assert "crm.index_parts" not in published

    Contact.objects.update(parts_version=0)
    sweep_jobs()
    assert "crm.index_parts" in published


def test_parts_show_nothing_of_the_value():
    parts = [*phone_indexes([{"number": "+15035550188"}]), *email_parts("a.b@x.example"), *address_parts("12 Elm St")]

    assert all(set(part) <= set("0123456789abcdef") for part in parts)
    assert len(set(parts)) == len(parts)
    assert email_parts("") == address_parts("") == phone_indexes([]) == []


def test_an_international_domain_is_one_in_both_spellings():
    assert set(email_parts("a@bücher.example")) == set(email_parts("a@xn--bcher-kva.example"))


@pytest.mark.parametrize("name", ["Jose\u0301 Garci\u0301a", "jose garcia", "JOSÉ GARCÍA"])
def test_a_namesake_is_known_without_accents(name, in_alice):
    there = make_contact("José García", business_name="Strauß")

    [duplicate] = find_duplicates(contact_name=name, business_name="STRAUSS")

    assert (duplicate.contact, duplicate.reasons) == (there, ["same name in the same business"])
    assert find_duplicates(contact_name=name, business_name="Other") == []


def test_text_is_stored_composed_whoever_hands_it_in(in_alice):
    contact = create_contact(values={"contact_name": "Jose\u0301", "tags": ["e\u0301", "é"], "city": "a\u0000b"}, by=None)

    contact.refresh_from_db()
    assert (contact.contact_name, contact.tags, contact.city) == ("José", ["é"], "ab")
