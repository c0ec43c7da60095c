"""Amounts: Decimal from end to end, never a float. What is added up is exact; only what is shown is rounded."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

PLACES = Decimal("0.00000001")
# How Stripe counts amounts (docs.stripe.com/currencies, read 2026-11-30): in hundredths, but for these.
_NO_MINOR = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_THOUSANDTHS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
# These have no smaller unit any more, and still travel as hundredths: 5 UGX are 500, and 550 is refused.
_WHOLE_IN_HUNDREDTHS = frozenset(["ISK", "UGX"])
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def exact(value: object) -> Decimal:
    """Return a number as Decimal. Raises TypeError for a float, whose digits nobody wrote."""
    if isinstance(value, float | bool):
        raise TypeError("an amount is never a float")
    return value if isinstance(value, Decimal) else Decimal(str(value))


def price_of(*, quantity: Decimal, price: Decimal, per: int) -> Decimal:
    """Return what a quantity costs, at `price` for every `per` units: eight places, halves to even."""
    return (exact(quantity) * exact(price) / per).quantize(PLACES, ROUND_HALF_EVEN)


def minor_exponent(currency: str) -> int:
    code = currency.upper()
    return 0 if code in _NO_MINOR else 3 if code in _THOUSANDTHS else 2


def from_minor(amount: int, currency: str) -> Decimal:
    """Return an amount in smallest units, such as cents, as an amount of the currency."""
    return Decimal(amount).scaleb(-minor_exponent(currency))


def to_minor(amount: Decimal, currency: str) -> int:
    """Return an amount as Stripe takes it: in smallest units, halves to even, the last digit 0 where that is asked for."""
    step = _step(currency)
    return int((exact(amount).scaleb(minor_exponent(currency)) / step).quantize(Decimal(1), ROUND_HALF_EVEN)) * step


def _step(currency: str) -> int:
    """Return what amounts in smallest units must be a multiple of."""
    code = currency.upper()
    return 100 if code in _WHOLE_IN_HUNDREDTHS else 10 if code in _THOUSANDTHS else 1


def shown(amount: Decimal | None, currency: str) -> str:
    """Return an amount as people read it: two places, four where it is less than a unit and not whole cents."""
    if amount is None:
        return "unknown"
    is_whole = currency.upper() in _WHOLE_IN_HUNDREDTHS and amount == amount.to_integral_value()
    whole = Decimal(1) if is_whole else Decimal(1).scaleb(-minor_exponent(currency))
    fine = abs(amount) < 1 and amount != amount.quantize(whole)
    rounded = amount.quantize(Decimal("0.0001") if fine else whole, ROUND_HALF_EVEN)
    if amount and not rounded:
        return f"less than {shown(Decimal('0.0001'), currency)}"
    sign, symbol = "−" if rounded < 0 else "", SYMBOLS.get(currency.upper())
    digits = f"{abs(rounded):,}"
    return f"{sign}{symbol}{digits}" if symbol else f"{sign}{digits} {currency.upper()}"
