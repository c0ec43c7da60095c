"""The types of custom fields: how a value is read, kept, shown, asked for and searched. No I/O.

A value is kept as JSON in `Contact.custom_fields`: texts as they are, numbers as numbers, money as text with its two
decimals, days as `2026-11-20`, moments as ISO 8601 in UTC (so that their order is that of the texts), several choices
as a list. Nothing chosen is no key at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from crm.enums import FieldType
from crm.phones import PhoneError, to_e164

FIRST_YEAR, LAST_YEAR = 1000, 2500  # beyond, a slip of the finger; near the ends of the calendar, nothing can be reckoned
MAX_TEXT = 500
MAX_LONG_TEXT = 20_000
TRUE_WORDS = frozenset({"true", "yes", "y", "1", "on", "x", "ja", "oui", "si", "sí"})
FALSE_WORDS = frozenset({"false", "no", "n", "0", "off", "nein", "non", "-"})
DAY_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y")


class FieldError(ValueError):
    """The value does not fit the field; the text says what would."""


class Definition(Protocol):
    """What a type needs to know of a field; `models.CustomField` is one."""

    key: str
    label: str
    type: str
    options: list[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """How values that name no country or time zone are meant."""

    region: str = ""
    zone: tzinfo = UTC
    day_format: str = ""  # chosen for a whole import; otherwise the first that fits


PLAIN = Reading()


def parse(field: Definition, raw: Any, reading: Reading = PLAIN) -> Any:
    """Return a value as it is kept, or None for nothing. Raises FieldError."""
    if isinstance(raw, str):
        raw = raw.replace("\0", "").strip()
    if raw is None or raw == "" or raw == []:
        return None
    return _TYPES[FieldType(field.type)].parse(field, raw, reading)


def to_text(field: Definition, value: Any, zone: tzinfo = UTC) -> str:
    """Return a kept value as people read it and as exports write it; empty for nothing."""
    if value is None:
        return ""
    match FieldType(field.type):
        case FieldType.BOOLEAN:
            return "yes" if value else "no"
        case FieldType.MULTI_SELECT:
            return "; ".join(value) if isinstance(value, list) else str(value)
        case FieldType.DATE_TIME:
            try:
                return datetime.fromisoformat(str(value)).astimezone(zone).strftime("%Y-%m-%d %H:%M")
            except ValueError:
                return str(value)
    return str(value)


def form_field(field: Definition, *, required: bool, help_text: str = "") -> forms.Field:
    made = _TYPES[FieldType(field.type)].form_field(field)
    made.required, made.label, made.help_text = (
        required and not isinstance(made, forms.BooleanField),
        field.label,
        help_text,
    )
    made.widget.is_required = made.required
    return made


def is_ordered(field: Definition) -> bool:
    """Tell whether values are searched by a range rather than by being equal."""
    return FieldType(field.type) in (FieldType.NUMBER, FieldType.MONEY, FieldType.DATE, FieldType.DATE_TIME)


# --- reading ---------------------------------------------------------------------------------------------------------


def _text(field: Definition, raw: Any, reading: Reading) -> str:
    return _bounded(raw, MAX_TEXT)


def _long_text(field: Definition, raw: Any, reading: Reading) -> str:
    return _bounded(raw, MAX_LONG_TEXT)


def _bounded(raw: Any, limit: int) -> str:
    if isinstance(raw, dict | list):
        raise FieldError("write a text")
    text = str(raw)
    if len(text) > limit:
        raise FieldError(f"at most {limit} characters")
    if not is_storable(text):
        raise FieldError("half a character cannot be kept")
    return text


def is_storable(text: str) -> bool:
    """Tell whether a text has no lone surrogates, which JSON can write and no database can keep."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_decimal(raw: Any) -> Decimal:
    """Read `1,234.50`, `1.234,50`, `1 234` and the like. A lone mark with three digits behind it groups thousands."""
    if isinstance(raw, bool | dict | list):
        raise FieldError("write a number")
    text = str(raw).replace("\u00a0", "").replace("\u202f", "").replace(" ", "").replace("'", "")
    comma, point = text.rfind(","), text.rfind(".")
    if comma > point:
        lone_group = point < 0 and text.count(",") == 1 and len(text) - comma - 1 == 3
        text = text.replace(",", "") if lone_group or text.count(",") > 1 else text.replace(".", "").replace(",", ".")
    else:
        text = text.replace(",", "")
        if text.count(".") > 1:
            text = text.replace(".", "")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise FieldError(f"“{str(raw)[:40]}” is not a number") from None
    if not value.is_finite() or abs(value) >= Decimal(10) ** 15:
        raise FieldError("the number is too large")
    return value


def _number(field: Definition, raw: Any, reading: Reading) -> int | float:
    value = read_decimal(raw)
    return int(value) if value == value.to_integral_value() else float(value)


def _money(field: Definition, raw: Any, reading: Reading) -> str:
    text = str(raw).strip().lstrip("$€£¥").rstrip("$€£¥").strip()
    return str(read_decimal(text).quantize(Decimal("0.01")))


def parse_day(raw: Any, reading: Reading = PLAIN) -> date:
    """Raises FieldError."""
    day = _any_day(raw, reading)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise FieldError(f"the year {day.year} is out of range")
    return day


def _any_day(raw: Any, reading: Reading) -> date:
    if isinstance(raw, datetime):
        return raw.date()
    if isinstance(raw, date):
        return raw
    text = str(raw).strip()
    for shape in (reading.day_format,) if reading.day_format else DAY_FORMATS:
        try:
            return datetime.strptime(text, shape).date()
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise FieldError(f"“{text[:40]}” is not a day, such as 2026-11-20") from None


def _date(field: Definition, raw: Any, reading: Reading) -> str:
    return parse_day(raw, reading).isoformat()


def parse_moment(raw: Any, reading: Reading = PLAIN) -> datetime:
    """Return an aware moment in UTC. Raises FieldError."""
    try:
        at = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip())
    except ValueError:
        day = parse_day(raw, reading)
        at = datetime(day.year, day.month, day.day)
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise FieldError(f"the year {at.year} is out of range")
    return (at if at.tzinfo else at.replace(tzinfo=reading.zone)).astimezone(UTC)


def _moment(field: Definition, raw: Any, reading: Reading) -> str:
    return parse_moment(raw, reading).isoformat(timespec="seconds")


def _email(field: Definition, raw: Any, reading: Reading) -> str:
    text = _bounded(raw, 254)
    try:
        validate_email(text)
    except ValidationError:
        raise FieldError(f"“{text[:60]}” is not an e-mail address") from None
    return text


def _phone(field: Definition, raw: Any, reading: Reading) -> str:
    try:
        return to_e164(str(raw), reading.region)
    except PhoneError as error:
        raise FieldError(str(error)) from None


def parse_url(raw: Any) -> str:
    """Return a web address with its scheme. Raises FieldError."""
    text = _bounded(raw, 300)
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and "." in (parts.hostname or "")
    except ValueError:
        fits = False
    if not fits or any(character.isspace() for character in text):
        raise FieldError(f"“{text[:60]}” is not a web address")
    return text


def _url(field: Definition, raw: Any, reading: Reading) -> str:
    return parse_url(raw)


def _select(field: Definition, raw: Any, reading: Reading) -> str:
    wanted = str(raw).strip().casefold()
    for option in field.options:
        if option.casefold() == wanted:
            return option
    raise FieldError(f"“{str(raw)[:40]}” is none of: {', '.join(field.options[:10])}{', …' * (len(field.options) > 10)}")


def _multi_select(field: Definition, raw: Any, reading: Reading) -> list[str] | None:
    if isinstance(raw, str):
        # An option may itself hold a comma: the whole text is tried first.
        parts = [raw] if any(option.casefold() == raw.casefold() for option in field.options) else _split(raw)
    elif isinstance(raw, list | tuple):
        parts = [str(part) for part in raw]
    else:
        raise FieldError("list the options")
    chosen = {_select(field, part, reading) for part in parts if part.strip()}
    return [option for option in field.options if option in chosen] or None


def _split(text: str) -> list[str]:
    mark = ";" if ";" in text else "|" if "|" in text else ","
    return text.split(mark)


def _boolean(field: Definition, raw: Any, reading: Reading) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().casefold()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise FieldError(f"“{str(raw)[:40]}” is neither yes nor no")


# --- asking ----------------------------------------------------------------------------------------------------------


def _text_input(field: Definition) -> forms.Field:
    return forms.CharField(max_length=MAX_TEXT)


def _area(field: Definition) -> forms.Field:
    return forms.CharField(max_length=MAX_LONG_TEXT, widget=forms.Textarea(attrs={"rows": 3}))


def _numeric(field: Definition) -> forms.Field:
    return forms.CharField(widget=forms.TextInput(attrs={"inputmode": "decimal"}))


def _day(field: Definition) -> forms.Field:
    return forms.DateField(widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))


def _moment_input(field: Definition) -> forms.Field:
    return forms.CharField(widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"))


def _email_input(field: Definition) -> forms.Field:
    return forms.CharField(widget=forms.EmailInput)


def _phone_input(field: Definition) -> forms.Field:
    return forms.CharField(widget=forms.TextInput(attrs={"inputmode": "tel"}))


def _url_input(field: Definition) -> forms.Field:
    return forms.CharField(widget=forms.TextInput(attrs={"inputmode": "url"}))


def _choice(field: Definition) -> forms.Field:
    return forms.ChoiceField(choices=[("", "—"), *((option, option) for option in field.options)])


def _choices(field: Definition) -> forms.Field:
    return forms.MultipleChoiceField(
        choices=[(option, option) for option in field.options], widget=forms.CheckboxSelectMultiple
    )


def _yes_no(field: Definition) -> forms.Field:
    return forms.ChoiceField(choices=[("", "unknown"), ("yes", "yes"), ("no", "no")])


@dataclass(frozen=True, slots=True)
class _Type:
    parse: Callable[[Definition, Any, Reading], Any]
    form_field: Callable[[Definition], forms.Field]


_TYPES: dict[FieldType, _Type] = {
    FieldType.TEXT: _Type(_text, _text_input),
    FieldType.LONG_TEXT: _Type(_long_text, _area),
    FieldType.NUMBER: _Type(_number, _numeric),
    FieldType.MONEY: _Type(_money, _numeric),
    FieldType.DATE: _Type(_date, _day),
    FieldType.DATE_TIME: _Type(_moment, _moment_input),
    FieldType.EMAIL: _Type(_email, _email_input),
    FieldType.PHONE: _Type(_phone, _phone_input),
    FieldType.URL: _Type(_url, _url_input),
    FieldType.SELECT: _Type(_select, _choice),
    FieldType.MULTI_SELECT: _Type(_multi_select, _choices),
    FieldType.BOOLEAN: _Type(_boolean, _yes_no),
}
