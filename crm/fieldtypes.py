"""The types of fields: how a value is read, kept, shown, asked for and searched. No I/O.

A value is kept as JSON in `Contact.custom_fields`: texts as they are, numbers as numbers, money as text with its two
decimals, days as `2026-11-20`, moments as ISO 8601 in UTC (so that their order is that of the texts), several choices
as a list. Nothing chosen is no key at all.

What `to_text` writes, `parse` reads back as it was, for every type and value. Lists are joined by `; ` or `, `; in each
item `join_list` puts a backslash before separators and backslashes, and `split_list` takes them off. Decimals are written
with a point and so that no reader can take it for a mark of thousands (`1.234` is written `1.2340`); days are ISO 8601.

How numbers and days of a file are meant belongs to the column: `date_formats_fitting` and `decimal_marks_fitting` say for
one cell which readings it allows, `decide` which of them most cells allow, and a `Reading` with the chosen one reads each
cell by it alone. Without a choice, a cell that could mean two different values is refused rather than guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from base.text import to_stored
from crm.enums import FieldType
from crm.phones import PhoneError, read_number, write_number

FIRST_YEAR, LAST_YEAR = 1000, 2500  # beyond, a slip of the finger; near the ends of the calendar, nothing can be reckoned
MAX_TEXT = 500
MAX_LONG_TEXT = 20_000
MAX_NUMBER = 60  # characters
TRUE_WORDS = frozenset({"true", "yes", "y", "1", "on", "x", "ja", "oui", "si", "sí"})
FALSE_WORDS = frozenset({"false", "no", "n", "0", "off", "nein", "non", "-"})
DAY_LABELS = {
    "%Y-%m-%d": "2026-11-20",
    "%d.%m.%Y": "20.11.2026",
    "%m/%d/%Y": "11/20/2026 (month first)",
    "%d/%m/%Y": "20/11/2026 (day first)",
    "%Y/%m/%d": "2026/11/20",
    "%d-%m-%Y": "20-11-2026 (day first)",
    "%m-%d-%Y": "11-20-2026 (month first)",
    "%d.%m.%y": "20.11.26",
    "%m/%d/%y": "11/20/26 (month first)",
    "%d/%m/%y": "20/11/26 (day first)",
    "%d %b %Y": "20 Nov 2026",
    "%d %B %Y": "20 November 2026",
    "%b %d, %Y": "Nov 20, 2026",
    "%B %d, %Y": "November 20, 2026",
}
DAY_FORMATS = tuple(DAY_LABELS)
DECIMAL_MARKS = (".", ",")


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
    day_format: str = ""  # one of DAY_FORMATS, chosen for a whole column; without, a day that could be two is refused
    decimal_mark: str = ""  # "." or ",", likewise
    statuses: tuple[tuple[str, str], ...] = ()  # what the tenant calls its statuses: (label, key)


PLAIN = Reading()


def parse(field: Definition, raw: Any, reading: Reading = PLAIN) -> Any:
    """Return a value as it is kept, or None for nothing. Raises FieldError."""
    if isinstance(raw, str):
        raw = to_stored(raw).strip()
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
            return join_list(value, "; ", ";") if isinstance(value, list) else str(value)
        case FieldType.NUMBER:
            return _written_number(str(value))
        case FieldType.DATE_TIME:
            try:
                return _written_moment(datetime.fromisoformat(str(value)), zone)
            except ValueError:
                return str(value)
    return str(value)


def _written_number(text: str) -> str:
    return text + "0" if decimal_marks_fitting(text) > {"."} and "." in text else text


def _written_moment(at: datetime, zone: tzinfo) -> str:
    """Return a moment by the zone's clock; with its offset where the clock shows that time twice."""
    local = at.astimezone(zone)
    text = local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")
    return text if local.replace(fold=0).utcoffset() == local.utcoffset() else f"{text}{local.strftime('%z')}"


def join_list(items: Iterable[str], joint: str, marks: str = ";|,") -> str:
    """Return several texts in one, as `split_list` with the same marks reads them."""
    return joint.join(re.sub(rf"[\\{re.escape(marks)}]", r"\\\g<0>", item) for item in items)


def split_list(text: str, marks: str = ";|,") -> list[str]:
    """Return the texts that stand apart by any of the marks; a mark behind a backslash belongs to its text.

    >>> split_list(join_list(["a,b", "c"], ", "))
    ['a,b', 'c']
    """
    if "\\" not in text:
        return [part.strip() for part in re.split(f"[{re.escape(marks)}]", text)]
    parts = re.findall(rf"((?:\\.|[^{re.escape(marks)}\\]|\\$)*)(?:[{re.escape(marks)}]|$)", text, re.DOTALL)
    return [_ESCAPED.sub(r"\1", part.strip()) for part in parts[:-1] or parts]


_ESCAPED = re.compile(r"\\([\\,;|\n])")


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
    text = to_stored(str(raw))
    if len(text) > limit:
        raise FieldError(f"at most {limit} characters")
    return text


def is_storable(text: str) -> bool:
    """Tell whether a text has no lone surrogates, which JSON can write and no database can keep."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_decimal(raw: Any, mark: str = "", *, places: int | None = None) -> Decimal:
    """Read `1,234.50`, `1.234,50`, `1 234`, `1'234.50`, `(5)` and the like, by the decimal mark if one is given.

    Without a mark, what could be two numbers (`1.234`) is refused, unless `places` says how many decimals there can be.
    Raises FieldError.
    """
    if isinstance(raw, bool | dict | list):
        raise FieldError("write a number")
    if isinstance(raw, int | float | Decimal):
        raw, mark = str(raw), "."
    readings = {known: value for known, value in _numbers(str(raw)).items() if known == mark or not mark}
    if len(set(readings.values())) > 1 and places is not None:  # `1,500` with two decimals groups thousands
        readings = {known: value for known, value in readings.items() if -_exponent(value) <= places}
    values = sorted(set(readings.values()))
    if not values:
        raise FieldError(f"“{str(raw).strip()[:40]}” is not a number")
    if len(values) > 1:
        raise FieldError(
            f"“{str(raw).strip()[:40]}” could be {values[0]} or {values[1]}: write one of these, without a comma"
        )
    if abs(values[0]) >= Decimal(10) ** 15:
        raise FieldError("the number is too large")
    return values[0]


def decimal_marks_fitting(text: str) -> frozenset[str]:
    """Return the decimal marks ("." and ",") by which a text is a number, a currency beside it aside; none if it is none.

    >>> sorted(decimal_marks_fitting("CHF 1'200.00")), sorted(decimal_marks_fitting("12.500"))
    (['.'], [',', '.'])
    """
    return frozenset(_numbers(split_currency(text)[0]))


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


# A whole part: plain digits, or groups by one and the same mark, of three digits or, in India, of two and at last three.
_GROUPED = r"\d{{1,3}}(?:(?P<g{n}>[ '{other}])\d{{3}})(?:(?P=g{n})\d{{3}})*|\d{{1,2}}(?:{other}\d{{2}})+{other}\d{{3}}"
_NUMBER = {
    mark: re.compile(
        rf"(?P<whole>\d+|{_GROUPED.format(n=0, other=re.escape(other))}|)(?:{re.escape(mark)}(?P<part>\d*))?"
        r"(?P<power>[eE][+-]?\d{1,3})?"
    )
    for mark, other in ((".", ","), (",", "."))
}
_BLANKS = re.compile("[\u00a0\u2000-\u200a\u202f]")
_MARKS = str.maketrans({"’": "'", "ʼ": "'", "`": "'", "´": "'", "−": "-", "–": "-", "—": "-"})


def _numbers(text: str) -> dict[str, Decimal]:
    """Return what a text is as a number, by decimal mark."""
    text = _BLANKS.sub(" ", text).translate(_MARKS).strip()
    if len(text) > MAX_NUMBER:
        return {}
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
        if "٫" in text:  # Arabic marks have one meaning only
            text = text.replace("٬", "").replace("٫", ".")
            read = _numbers(text)
            return {".": read["."]} if "." in read else {}
        text = text.replace("٬", "'")
    sign = ""
    if text.startswith("(") and text.endswith(")"):  # as bookkeepers write what is owed
        text, sign = text[1:-1].strip(), "-"
    text = re.sub(r"(?<=\d)[.,]-{1,2}$", "", text)  # 99.– is a whole amount
    if text[:1] in ("-", "+"):
        text, sign = text[1:].strip(), "-" if (text[0] == "-") != bool(sign) else ""
    elif text.endswith("-") and text[:-1].strip():
        text, sign = text[:-1].strip(), "-"
    found: dict[str, Decimal] = {}
    for mark, shape in _NUMBER.items():
        match = shape.fullmatch(text)
        if match is None or not (match["whole"] or match["part"]):
            continue
        whole = re.sub(r"\D", "", match["whole"])
        # A group that begins with a zero is none (0.125 is an eighth), and powers of ten come without groups.
        if whole != match["whole"] and (match["whole"].startswith("0") or match["power"]):
            continue
        try:
            found[mark] = Decimal(f"{sign}{whole or 0}.{match['part'] or 0}{match['power'] or ''}")
        except InvalidOperation:
            continue
    return {mark: _plain_decimal(value) for mark, value in found.items()}


def _plain_decimal(value: Decimal) -> Decimal:
    """Return a number with as many decimals as were written, and none for a whole one."""
    return value.quantize(Decimal(1)) if value == value.to_integral_value() and abs(value) < 10**20 else value


# ISO 4217, and what people write instead.
CURRENCIES = frozenset(
    [line for line in (Path(__file__).parent / "data" / "currencies.txt").read_text().split() if len(line) == 3]
)
_SHORT = frozenset(["fr", "sfr", "kr", "rs", "zł", "kč", "ft", "lei", "лв", "руб", "р", "грн", "euro", "euros", "dollars"])


def split_currency(text: str) -> tuple[str, str]:
    """Return an amount without the currency before or behind it, and that currency as it was written; empty for none.

    >>> split_currency("CHF 1'200.00"), split_currency("512,77 €"), split_currency("12 apples")
    (("1'200.00", 'CHF'), ('512,77', '€'), ('12 apples', ''))
    """
    bare = _BLANKS.sub(" ", text).strip()
    found = re.fullmatch(
        r"(?P<sign>[-+−(]?\s*)(?P<before>[^\d\s.,'’()+−-][^\d]{0,5}?)?\s*(?P<amount>[(]?[-+−]?\s*[.,]?\d.*?)\s*(?P<behind>[^\d\s.,'’()+−–-][^\d]{0,5}?)?(?P<end>\)?)",
        bare,
    )
    if not found:
        return bare, ""
    names = [name.strip() for name in (found["before"], found["behind"]) if name]
    if len(names) != 1 or not is_currency(names[0]):
        return bare, ""
    return f"{found['sign'].strip()}{found['amount']}{found['end']}", names[0]


def is_currency(text: str) -> bool:
    """Tell whether a text is a currency's sign or code."""
    word = text.strip().rstrip(".")
    if any(unicodedata.category(c) == "Sc" for c in word):
        return all(unicodedata.category(c) == "Sc" or c.isalpha() or c == " " for c in word)
    return word.upper() in CURRENCIES or word.casefold() in _SHORT


def _number(field: Definition, raw: Any, reading: Reading) -> int | float:
    value = read_decimal(split_currency(raw)[0] if isinstance(raw, str) else raw, reading.decimal_mark)
    return int(value) if value == value.to_integral_value() else float(value)


def read_money(raw: Any, reading: Reading = PLAIN) -> Decimal:
    """Return an amount with two decimals, a currency beside it left aside. Raises FieldError."""
    text = split_currency(raw)[0] if isinstance(raw, str) else raw
    return read_decimal(text, reading.decimal_mark, places=2).quantize(Decimal("0.01"))


def _money(field: Definition, raw: Any, reading: Reading) -> str:
    return str(read_money(raw, reading))


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
    found = _days(_TIME.sub("", text))
    if reading.day_format:
        # ISO 8601 has one meaning; spreadsheets hand cells that are days in this form, whatever the texts beside them.
        found = {shape: day for shape, day in found.items() if shape in (reading.day_format, "%Y-%m-%d")}
    days = sorted(set(found.values()))
    if len(days) > 1:
        raise FieldError(f"“{text[:40]}” could be {days[0]} or {days[1]}: write one of these")
    if days:
        return days[0]
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        like = date(2026, 11, 20).strftime(reading.day_format) if reading.day_format else "2026-11-20"
        raise FieldError(f"“{text[:40]}” is not a day, such as {like}") from None


def date_formats_fitting(text: str) -> frozenset[str]:
    """Return the formats (of DAY_FORMATS) by which a text is a day, a time behind it aside; none if it is none.

    >>> sorted(date_formats_fitting("03/04/1991")), sorted(date_formats_fitting("25/12/1990 10:30"))
    (['%d/%m/%Y', '%m/%d/%Y'], ['%d/%m/%Y'])
    """
    return frozenset(_days(_TIME.sub("", text.strip())))


def decide(values: Iterable[str], fitting: Callable[[str], frozenset[str]]) -> frozenset[str]:
    """Return the readings that the most cells of a column allow; one is a decision, several are a question.

    Cells that allow none, such as `N/A`, have no say, and are reported where they are read.
    """
    votes: dict[frozenset[str], int] = {}
    for value in values:
        if allowed := fitting(value):
            votes[allowed] = votes.get(allowed, 0) + 1
    counted = {each: sum(n for allowed, n in votes.items() if each in allowed) for allowed in votes for each in allowed}
    most = max(counted.values(), default=0)
    return frozenset(each for each, n in counted.items() if n == most)


_TIME = re.compile(
    r"(?<=\d)(?:T|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?|Z|[+-]\d\d:?\d\d)?$"
)
_NUMERIC_DAY = re.compile(r"(\d{1,4})([./-])\s?(\d{1,2})\2\s?(\d{1,4})\.?")
_NAMED = tuple(shape for shape in DAY_FORMATS if "%b" in shape or "%B" in shape)
_NUMERIC = tuple(shape for shape in DAY_FORMATS if shape not in _NAMED)


def _days(text: str) -> dict[str, date]:
    """Return what a text is as a day, by format."""
    found: dict[str, date] = {}
    numeric = _NUMERIC_DAY.fullmatch(text)
    if numeric:
        first, mark, middle, last = numeric.groups()
        text = f"{first}{mark}{middle}{mark}{last}"
        shapes: Iterable[str] = (shape for shape in _NUMERIC if mark == shape[2])
    else:
        text, shapes = text.replace(".", ""), _NAMED if any(c.isalpha() for c in text) else ()
    for shape in shapes:
        try:
            found[shape] = datetime.strptime(text, shape).date()
        except ValueError:
            continue
    return found


def _date(field: Definition, raw: Any, reading: Reading) -> str:
    return parse_day(raw, reading).isoformat()


def parse_moment(raw: Any, reading: Reading = PLAIN) -> datetime:
    """Return an aware moment in UTC. Raises FieldError."""
    try:
        at = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip())
    except ValueError:
        day = parse_day(raw, reading)
        at = datetime.combine(day, _time_of(str(raw).strip()))
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise FieldError(f"the year {at.year} is out of range")
    return (at if at.tzinfo else at.replace(tzinfo=reading.zone)).astimezone(UTC)


def _time_of(text: str) -> time:
    found = _TIME.search(text)
    if found is None:
        return time()
    hour, half = int(found["hour"]), (found["half"] or "").lower()[:1].strip("z+-")
    if half and not 1 <= hour <= 12:
        raise FieldError(f"“{text[:40]}” is not a time")
    try:
        return time(hour % 12 + 12 * (half == "p") if half else hour, int(found["minute"]), int(found["second"] or 0))
    except ValueError:
        raise FieldError(f"“{text[:40]}” is not a time") from None


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
        found = read_number(str(raw), reading.region)
    except PhoneError as error:
        raise FieldError(str(error)) from None
    return write_number(found.e164, found.extension)


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
    wanted = to_stored(str(raw)).strip()
    found = _option(field, wanted)
    if found is None:
        raise FieldError(f"“{wanted[:40]}” is none of: {', '.join(field.options[:10])}{', …' * (len(field.options) > 10)}")
    return found


def _option(field: Definition, wanted: str) -> str | None:
    if wanted in field.options:
        return wanted
    folded = wanted.casefold()
    return next((option for option in field.options if option.casefold() == folded), None)


def _multi_select(field: Definition, raw: Any, reading: Reading) -> list[str] | None:
    if isinstance(raw, str):
        parts = _split(field, raw)
    elif isinstance(raw, list | tuple):
        parts = [str(part) for part in raw]
    else:
        raise FieldError("list the options")
    chosen = {_select(field, part, reading) for part in parts if part.strip()}
    return [option for option in field.options if option in chosen] or None


def _split(field: Definition, text: str) -> list[str]:
    """Return the options named in a text: by the first kind of separator that leaves nothing but options, else by all.

    Other programs write options that hold a comma without marking it.
    """
    for marks in (";", "|", ",", ";|,"):
        parts = list(filter(None, split_list(text, marks)))
        if parts and all(_option(field, part) is not None for part in parts):
            return parts
    return (
        [text] if _option(field, text) is not None else list(filter(None, split_list(text, ";" if ";" in text else ",|")))
    )


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
