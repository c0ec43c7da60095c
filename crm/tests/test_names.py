import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.text import to_stored
from crm.names import TITLES, given_name


@pytest.mark.parametrize(
    ("full", "given"),
    [
        ("Dr. Ann Miller", "Ann"),
        ("Miller, Ann", "Ann"),
        ("Miller, Dr. Ann", "Ann"),
        ("Mary Ann Smith", "Mary Ann"),
        ("Prof. Dr. Hans Meier", "Hans"),
        ("Herr Dr. med. Paul Koch", "Paul"),
        ("Dr.Ann Miller", "Ann"),
        ("van der Berg, Jan", "Jan"),
        ("Jan van der Berg", "Jan"),
        ("de la Cruz, Mari\u0301a", "María"),
        ("Ann Miller, PhD", "Ann"),
        ("Smith, Jr., John", "John"),
        ("J. Robert Smith", "Robert"),
        ("ANN MILLER", "Ann"),
        ("Ann", "Ann"),
        ("Don Johnson", "Don"),
        ('Robert "Bob" Smith', "Robert"),
    ],
)
def test_the_given_name_is_found_among_titles_commas_and_particles(full: str, given: str) -> None:
    assert given_name(full) == given


@pytest.mark.parametrize(
    "full",
    ["", "Dr.", "Prof. Meier", "Mr Smith", "Frau Meier", "Meier, Prof.", "Smith,", ", Ann", "J. R. Smith", "van Berg"]
    + [
        "Dr. van Berg",
        "Acme GmbH",
        "mr. and mrs. smith",
        "John & Jane Smith",
        "王小明",
        "info@acme.example",
        "Unknown caller",
    ]
    + ["Nguyễn Thị Hạnh", "+1 555 0100"],
)
def test_nothing_is_better_than_a_title_or_a_surname(full: str) -> None:
    assert given_name(full) == ""


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*sorted(TITLES), "Ann", "Miller", ",", "van", "."]), max_size=6).map(" ".join)
)
def test_any_name_gives_a_part_of_it_and_never_a_lone_title(full: str) -> None:
    name = given_name(full)

    assert len(name) <= 2 * len(full) and "," not in name
    assert not name or any(c.isalpha() for c in name) or name in to_stored(full)
