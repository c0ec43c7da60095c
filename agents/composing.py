"""What a model reads as its instructions: texts with names filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NAME = re.compile(r"\{([a-z][a-z0-9_]{0,39})\}")


@dataclass(frozen=True, slots=True)
class Composed:
    text: str
    missing: tuple[str, ...] = ()  # names that stand in the text and have no value


def compose(parts: Iterable[str], values: Mapping[str, str]) -> Composed:
    """Join the parts that say something, with `{name}` filled in where there is a value; other braces stay as they are."""
    missing: dict[str, None] = {}

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            missing[name] = None
            return match.group(0)
        return values[name]

    text = "\n\n".join(_NAME.sub(fill, part.strip()) for part in parts if part.strip())
    return Composed(text, tuple(missing))


def names_in(text: str) -> list[str]:
    return list(dict.fromkeys(_NAME.findall(text)))
