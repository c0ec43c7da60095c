"""Opening hours: a list of `{"day": 0…6, "opens": "HH:MM", "closes": "HH:MM"}`, Monday first. Empty: always open.

A span that closes at or before it opens runs past midnight into the next day. People write them as text, one or more days
and spans a line (`Mon-Fri 09:00-12:00, 13:00-17:00`): what of a line is not understood is refused, never dropped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, time
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError

Span = dict[str, Any]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EXAMPLE = "Mon-Fri 09:00-17:00"
MAX_SPANS = 100
_HHMM = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class HoursError(ValueError):
    """A line of opening hours was not understood; the message quotes it and says what to write."""


def check_hours(value: Any) -> None:
    """Raises ValidationError that names the faulty entry."""
    if not isinstance(value, list):
        raise ValidationError("Opening hours are a list.")
    if len(value) > MAX_SPANS:
        raise ValidationError(f"Opening hours have at most {MAX_SPANS} entries.")
    for position, span in enumerate(value, start=1):
        if not isinstance(span, dict) or set(span) != {"day", "opens", "closes"}:
            raise ValidationError(f"Opening hours, entry {position}: write day, opens and closes.")
        day, opens, closes = span["day"], span["opens"], span["closes"]
        if type(day) is not int or not 0 <= day <= 6:
            raise ValidationError(f"Opening hours, entry {position}: days are 0 (Monday) to 6.")
        for at in (opens, "00:00" if closes == "24:00" else closes):
            if not isinstance(at, str) or not _HHMM.fullmatch(at):
                raise ValidationError(f"Opening hours, entry {position}: write times as in 09:00.")


def _parse(span: Span) -> tuple[int, time, time]:
    closes = "00:00" if span["closes"] == "24:00" else span["closes"]
    return int(span["day"]), time.fromisoformat(span["opens"]), time.fromisoformat(closes)


def is_open(hours: list[dict[str, Any]], time_zone: str, now: datetime) -> bool:
    """Tell whether a line with these hours answers at `now` (aware)."""
    if not hours:
        return True
    local = now.astimezone(ZoneInfo(time_zone))
    at, today, yesterday = local.time(), local.weekday(), (local.weekday() - 1) % 7
    for day, opens, closes in map(_parse, hours):
        overnight = closes <= opens
        if day == today and opens <= at and (overnight or at < closes):
            return True
        if day == yesterday and overnight and at < closes:
            return True
    return False


# --- as people write them ----------------------------------------------------------------------------------------------

_DAY_NAMES = (
    "mon(?:days?)?|mo",
    "tue(?:s|sdays?)?|tu",
    "wed(?:s|nesdays?)?|we",
    "thu(?:rs?|rsdays?)?|th",
    "fri(?:days?)?|fr",
    "sat(?:urdays?)?|sa",
    "sun(?:days?)?|su",
)
_SETS = {"weekdays?": range(5), "weekends?": (5, 6), "daily|every ?day|all days|all week": range(7)}
# What a line is made of. The letter of each kind spells the line, and the line's form is a pattern over those letters.
_TOKENS = re.compile(
    r"\s*(?:"
    + "|".join(
        (
            rf"(?P<D>(?:{'|'.join(_DAY_NAMES)})(?![^\W\d_])\.?)",
            rf"(?P<E>(?:{'|'.join(_SETS)})(?![^\W\d_]))",
            r"(?P<B>24 ?/ ?7\b)",
            r"(?P<A>(?:all day|(?:open )?24 ?(?:hours|hrs|h))(?![^\W\d_]))",
            r"(?P<X>closed(?![^\W\d_]))",
            r"(?P<T>noon(?![^\W\d_])|midnight(?![^\W\d_])"
            r"|(?:\d{4}|\d{1,2}(?:[:.h]\d{2})?)(?!\d)(?:\s*(?:[ap]\.?m\b\.?|(?:h|hrs|o.clock)(?![^\W\d_])))?)",
            r"(?P<R>[-\u2010-\u2015\u2212~\u301c]|(?:to|through|thru|until|till)(?![^\W\d_]))",
            r"(?P<S>[,;+&/]|and(?![^\W\d_]))",
            r"(?P<C>:)",
            r"(?P<N>(?:from|open)(?![^\W\d_]))",  # says nothing
        )
    )
    + r")"
)
_ONE_DAY = "(?:DRD|D|E)"
_ENTRY = re.compile(rf"((?:{_ONE_DAY}S*)*{_ONE_DAY})(?:C|S)?(X|A|TRT(?:S*TRT)*)S*|(B)S*")
_CLOCK = re.compile(r"(?:(\d\d)(\d\d)|(\d{1,2})(?:[:.h](\d\d))?)\s*(?:([ap])\.?m\.?|h|hrs|o.clock)?")


@dataclass(frozen=True, slots=True)
class _Clock:
    """A time as written. Without am or pm, `9` and `9:30` may be either half of the day; `09:00` and `14` are not."""

    minutes: int  # since midnight; of the morning while the half is unknown
    half: str  # a, p, or unknown
    is_exact: bool


def parse_hours(text: str) -> list[Span]:
    """Return the spans people wrote, one or more a line, in their order. Raises HoursError."""
    spans: list[Span] = []
    closed: set[int] = set()
    for line in text.splitlines():
        if line.strip():
            open_spans, closed_days = _parse_line(line.strip())
            spans += open_spans
            closed |= closed_days
    kept = [span for span in spans if span["day"] not in closed]
    if closed and not kept:
        raise HoursError("No day is open. Switch the line off instead, or leave the hours empty to answer at any time.")
    if len(kept) > MAX_SPANS:
        raise HoursError(f"These are more than {MAX_SPANS} spans.")
    return kept


def format_hours(hours: list[Span]) -> str:
    """Return hours as text: days that follow each other and have the same spans share a line."""
    lines: list[tuple[int, int, str]] = []
    for day, group in groupby(hours, key=lambda span: int(span["day"])):
        spans = ", ".join(f"{opens:%H:%M}-{_closing(closes)}" for _, opens, closes in map(_parse, group))
        if lines and lines[-1][1] == day - 1 and lines[-1][2] == spans:
            lines[-1] = (lines[-1][0], day, spans)
        else:
            lines.append((day, day, spans))
    return "\n".join(f"{DAYS[first]}{'-' + DAYS[last] if last != first else ''} {spans}" for first, last, spans in lines)


def _closing(closes: time) -> str:
    return "24:00" if closes == time() else f"{closes:%H:%M}"


def _parse_line(line: str) -> tuple[list[Span], set[int]]:
    tokens = _tokens(line)
    letters = "".join(kind for kind, _ in tokens)
    spans: list[Span] = []
    closed: set[int] = set()
    at = 0
    while at < len(letters):
        entry = _ENTRY.match(letters, at)
        if entry is None:
            raise _not_understood(line)
        if entry.group(3):
            days, times = list(range(7)), ""
        else:
            days = _days(tokens[entry.start(1) : entry.end(1)])
            times = entry.group(2)
        if times == "X":
            closed |= set(days)
        elif times in ("A", ""):
            spans += [{"day": day, "opens": "00:00", "closes": "00:00"} for day in days]
        else:
            clocks = [text for kind, text in tokens[entry.start(2) : entry.end(2)] if kind == "T"]
            pairs = [_span(opens, closes, line) for opens, closes in zip(clocks[::2], clocks[1::2], strict=True)]
            spans += [{"day": day, "opens": opens, "closes": closes} for day in days for opens, closes in pairs]
        at = entry.end()
    return spans, closed


def _tokens(line: str) -> list[tuple[str, str]]:
    text = unicodedata.normalize("NFKC", line).casefold().strip()
    found, at = [], 0
    while at < len(text):
        token = _TOKENS.match(text, at)
        if token is None:
            raise _not_understood(line)
        kind = str(token.lastgroup)
        if kind != "N":
            found.append((kind, token.group(kind)))
        at = token.end()
    return found


def _days(tokens: list[tuple[str, str]]) -> list[int]:
    days: list[int] = []
    begins_range = False
    for kind, text in tokens:
        if kind == "R":
            begins_range = True
        elif kind == "E":
            days += next(found for pattern, found in _SETS.items() if re.fullmatch(pattern, text))
        elif kind == "D":
            day = next(n for n, pattern in enumerate(_DAY_NAMES) if re.fullmatch(pattern, text.rstrip(".")))
            if begins_range:
                begun = days[-1]
                days += [(begun + step) % 7 for step in range(1, (day - begun) % 7 + 1)]
                begins_range = False
            else:
                days.append(day)
    return list(dict.fromkeys(days))


def _span(opens: str, closes: str, line: str) -> tuple[str, str]:
    first, last = _clock(opens, line), _clock(closes, line)
    begin, end = first.minutes, last.minutes
    if begin >= 24 * 60:
        raise HoursError(f"“{line}”: nothing opens at 24:00; write 00:00.")
    if last.half and not (first.half or first.is_exact):  # 9-5pm, 1-5pm, 11-2am: the later half that is before the end
        morning = begin % 720
        begin = max((at for at in (morning, morning + 720) if at < end), default=morning + 720)
    elif first.half and not (last.half or last.is_exact):  # 9am-5, 10pm-6: the next time the clock shows it
        evening = end % 720 + 720
        end = min((at for at in (end % 720, evening) if at > begin), default=end % 720)
    elif end <= begin and not (first.half or last.half) and not (first.is_exact and last.is_exact):
        raise HoursError(f"“{line}”: morning or evening? Write it as in 09:00-17:00 or 9am-5pm.")
    return _written(begin), _written(end)


def _clock(text: str, line: str) -> _Clock:
    if text in ("noon", "midnight"):
        return _Clock(720 if text == "noon" else 0, "", True)
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise _not_understood(line)
    hours, minutes = found.group(1) or found.group(3), found.group(2) or found.group(4) or ""
    hour, minute, half = int(hours), int(minutes or 0), found.group(5) or ""
    if minute > 59 or hour * 60 + minute > 24 * 60 or (half and not 1 <= hour <= 12):
        raise HoursError(f"“{line}”: “{text}” is not a time of the day.")
    if half:
        return _Clock(hour % 12 * 60 + minute + (720 if half == "p" else 0), half, True)
    is_exact = hour > 12 or hour == 0 or (len(hours) == 2 and minutes != "")
    return _Clock(hour * 60 + minute, "", is_exact)


def _written(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def _not_understood(line: str) -> HoursError:
    return HoursError(f"“{line}” was not understood. Write days and times, such as {EXAMPLE}, or Sunday closed.")
