import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.countries import country_code


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("DE", ["DE", "de", "DEU", "Germany", "Deutschland", "Allemagne", "Alemania", "ドイツ"]),
        ("GB", ["UK", "U.K.", "GB", "GBR", "United Kingdom", "England", "Großbritannien", "Royaume-Uni", "Great Britain"]),
        ("US", ["USA", "U.S.A.", "u.s.", "United States", "Vereinigte Staaten", "美国"]),
        ("RU", ["Россия", "Russia"]),
        ("CI", ["Côte d'Ivoire", "Ivory Coast"]),
        ("", ["", "Atlantis", "EU", "x" * 500]),
    ],
)
def test_a_country_is_known_by_its_names(code, names):
    assert {country_code(name) for name in names} == {code}


@given(st.text())
def test_any_text_names_a_country_or_none(text):
    assert len(country_code(text)) in (0, 2)
