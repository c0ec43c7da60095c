"""Amounts: Decimal from end to end, never a float. What is added up is exact; only what is shown is rounded."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

PLACES = Decimal("0.00000001")
# ISO 4217: currencies whose smallest unit is not a hundredth, as Stripe counts them (docs.stripe.com/currencies).
_NO_MINOR = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_THOUSANDTHS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
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
    """Return an amount in the currency's smallest units, halves to even."""
    return int(exact(amount).scaleb(minor_exponent(currency)).quantize(Decimal(1), ROUND_HALF_EVEN))


def shown(amount: Decimal | None, currency: str) -> str:
    """Return an amount as people read it: two places, four where it is less than a unit and not whole cents."""
    if amount is None:
        return "unknown"
    whole = Decimal(1).scaleb(-minor_exponent(currency))
    fine = abs(amount) < 1 and amount != amount.quantize(whole)
    rounded = amount.quantize(Decimal("0.0001") if fine else whole, ROUND_HALF_EVEN)
    if amount and not rounded:
        return f"less than {shown(Decimal('0.0001'), currency)}"
    sign, symbol = "−" if rounded < 0 else "", SYMBOLS.get(currency.upper())
    digits = f"{abs(rounded):,}"
    return f"{sign}{symbol}{digits}" if symbol else f"{sign}{digits} {currency.upper()}"
