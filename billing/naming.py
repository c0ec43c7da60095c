"""What lines, agents, campaigns and contacts are called: the ledger knows their numbers only, rooms above the names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    url: str = ""


Namer = Callable[[list[str]], dict[str, Name]]
_namers: dict[str, Namer] = {}


def register(kind: str, namer: Namer) -> None:
    """`namer` returns names in the entered tenant by the ids it is given; what is gone is left out."""
    _namers[kind] = namer


def names_of(kind: str, ids: Iterable[object]) -> dict[str, Name]:
    wanted = [str(one) for one in ids if one not in (None, "")]
    namer = _namers.get(kind)
    return namer(wanted) if namer is not None and wanted else {}
