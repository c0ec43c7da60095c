"""What a model reads as its instructions, and what callers hear: texts with names filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# A name in one pair of braces or in two, as other products write it. `{{name}` keeps the brace that has no partner.
_NAME = re.compile(r"(\{+)[ \t]*([^\W\d_][\w.-]{0,39})[ \t]*(\}+)")
_GAP = "\0"
_BEFORE_GAP = re.compile(r"[ \t]*\0(?=[\s.,;:!?)]|\Z)")
_AT_START = re.compile(r"^(?:[ \t]*\0)+[ \t,;:]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Composed:
    text: str
    missing: tuple[str, ...] = ()  # names that stand in the text and have no value


def compose(parts: Iterable[str], values: Mapping[str, str]) -> Composed:
    """Join the parts that say something, with `{name}` and `{{name}}` filled in.

    A name without a value is left out of the text, so that nobody speaks it, and told in `missing`, so that a page can warn
    whoever wrote it. Upper and lower case are the same. Braces around anything but a name stay as they are.
    """
    missing: dict[str, None] = {}

    def fill(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        both = min(len(opening), len(closing))
        value = values.get(name, values.get(name.lower()))
        if value is None:
            missing[name.lower()] = None
        filled = _GAP if value is None else value.replace(_GAP, "")
        return opening[both:] + filled + closing[both:]

    filled = [_closed(_NAME.sub(fill, part.replace(_GAP, "").strip())) for part in parts]
    return Composed("\n\n".join(part for part in filled if part), tuple(missing))


def names_in(text: str) -> list[str]:
    """Return the names that a text asks for, each once, in order."""
    return list(dict.fromkeys(match.group(2).lower() for match in _NAME.finditer(text)))


def _closed(text: str) -> str:
    """Return the text without its gaps, and without the blanks and commas that only a name would have needed."""
    if _GAP not in text:
        return text
    return _BEFORE_GAP.sub("", _AT_START.sub("", text)).replace(_GAP, "").strip()
