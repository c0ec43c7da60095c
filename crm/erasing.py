"""Erasing one person for good: each room says how it forgets somebody, and how many rows that took.

A room above registers in its `apps.py`; `crm.services.erasing.erase_person` asks all of them in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to forget: by contact, and by every number and address they are known under."""

    contact_ids: tuple[int, ...]
    numbers: tuple[str, ...]  # E.164, every spelling
    addresses: tuple[str, ...]


# Runs inside the tenant and the caller's transaction, removes or blanks the rows, and returns how many by kind of row.
Eraser = Callable[[Person], dict[str, int]]
_erasers: dict[str, Eraser] = {}


def register(room: str, eraser: Eraser) -> None:
    _erasers[room] = eraser


def erasers() -> dict[str, Eraser]:
    return dict(_erasers)
