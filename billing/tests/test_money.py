"""No float anywhere, sums exact, and rounding only where somebody looks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import PLACES, exact, from_minor, minor_exponent, price_of, shown, to_minor

AMOUNTS = st.decimals(min_value=-(10**9), max_value=10**9, places=8)
QUANTITIES = st.decimals(min_value=0, max_value=10**9, places=6)
PRICES = st.decimals(min_value=0, max_value=10**4, places=8)


@pytest.mark.parametrize("value", [0.1, 1.0, float("nan"), True])
def test_a_float_is_refused(value):
    with pytest.raises(TypeError):
        exact(value)


@pytest.mark.parametrize("value", [1, "1.5", Decimal("0.1")])
def test_other_numbers_are_taken_as_they_are_written(value):
    assert exact(value) == Decimal(str(value))


@given(QUANTITIES, PRICES, st.sampled_from([1, 60, 1000, 1_000_000]))
def test_a_price_is_within_half_a_place_of_the_exact_one(quantity, price, per):
    amount = price_of(quantity=quantity, price=price, per=per)

    assert amount.as_tuple().exponent == -8
    assert abs(amount * per - quantity * price) <= PLACES / 2 * per + Decimal("1e-12")


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [("0.5", "0.00000001", "0E-8"), ("1.5", "0.00000001", "0.00000002"), ("2.5", "0.00000001", "0.00000002")],
)
def test_halves_go_to_the_even_neighbour(quantity, price, expected):
    assert price_of(quantity=Decimal(quantity), price=Decimal(price), per=1) == Decimal(expected)


@given(st.lists(AMOUNTS, max_size=50))
def test_the_sum_of_the_parts_is_the_total_in_any_order(parts):
    assert sum(parts, Decimal(0)) == sum(reversed(parts), Decimal(0)) == sum(sorted(parts), Decimal(0))


@given(st.integers(-(10**12), 10**12), st.sampled_from(["USD", "EUR", "JPY", "UGX", "KWD"]))
def test_smallest_units_there_and_back(whole, currency):
    minor = whole * 10 ** minor_exponent(currency)

    assert to_minor(from_minor(minor, currency), currency) == minor


# Every currency Stripe lists as presentable (docs.stripe.com/currencies, read 2026-11-30), by what 5 of them are there.
_FIVE = {
    5: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf",
    500: """usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop
        crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs
        khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen
        pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx
        uyu uzs wst xcd yer zar zmw""",
    5000: "bhd jod kwd omr tnd",
}
_CURRENCIES = [(code, minor) for minor, codes in _FIVE.items() for code in codes.split()]


@pytest.mark.parametrize(("currency", "minor"), _CURRENCIES)
def test_five_of_every_currency_stripe_lists(currency, minor):
    assert to_minor(Decimal(5), currency) == minor
    assert from_minor(minor, currency) == 5


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("5.124", "KWD", 5120), ("5.126", "KWD", 5130), ("10.4", "ISK", 1000), ("10.6", "UGX", 1100), ("1.005", "USD", 100)],
)
def test_amounts_are_rounded_to_what_stripe_takes(amount, currency, minor):
    assert to_minor(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (None, "USD", "unknown"),
        ("0", "USD", "$0.00"),
        ("0.0085", "USD", "$0.0085"),
        ("0.00004", "USD", "less than $0.0001"),
        ("0.25", "USD", "$0.25"),
        ("1234.5", "EUR", "€1,234.50"),
        ("-3.2", "USD", "−$3.20"),
        ("1500", "JPY", "¥1,500"),
        ("1.2345", "CHF", "1.23 CHF"),
        ("0.125", "USD", "$0.1250"),
        ("5000", "UGX", "5,000 UGX"),
        ("1200", "ISK", "1,200 ISK"),
        ("12.5", "KWD", "12.500 KWD"),
    ],
)
def test_how_an_amount_is_shown(amount, currency, expected):
    assert shown(None if amount is None else Decimal(amount), currency) == expected
